"""Each rule finds its planted offender, and nothing in a tree that keeps the rules."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402
from source import Source  # noqa: E402

HEADER = '// What it is.\n#pragma once\n'
CLEAN = {
    'base/CMakeLists.txt': 'duramen_library(base SOURCES io.cc check.cc)\n',
    'base/README.md': 'x\n',
    'base/io.h': HEADER,
    'base/io.cc': '#include "base/io.h"\n',
    'base/check.cc': 'void Last() { fprintf(stderr, "x"); }\n',
    'wal/CMakeLists.txt': 'duramen_library(wal SOURCES format.cc LINKS base)\n',
    'wal/README.md': 'x\n',
    'wal/FORMAT.md': 'x\n',
    'wal/format.h': HEADER + '#include <cstdint>\n#include "duramen/types.h"\n',
    'wal/format.cc': '#include "wal/format.h"\n\nstatic const int kSize = 4;\n',
    'log/CMakeLists.txt': 'duramen_library(log SOURCES log.cc LINKS wal base)\n',
    'log/README.md': 'x\n',
    'log/log.cc': '#include "wal/format.h"\n#include "base/io.h"\n',
    'include/duramen/types.h': HEADER + '#include <cstdint>\n',
    'tests/log_test.cc': 'TEST(Log, W1_Works) { EXPECT_TRUE(true); }\n',
}


def findings(changes):
    files = dict(CLEAN)
    files.update(changes)
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full) or root, exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(text)
        return [str(one) for one in tidy.findings(root)[0]]


def lines(count):
    return ''.join(f'  x += {n};\n' for n in range(count))


class PlantedOffenders(unittest.TestCase):
    def expect(self, part, changes):
        found = findings(changes)
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])

    def test_a_clean_tree_has_no_findings(self):
        self.assertEqual(findings({}), [])

    def test_an_include_against_the_arrows(self):
        self.expect('base may not see wal', {
            'base/io.cc': '#include "base/io.h"\n#include "wal/format.h"\n'})

    def test_sisters_do_not_see_each_other(self):
        self.expect('meta may not see wal', {
            'meta/row.h': HEADER + '#include "wal/format.h"\n'})

    def test_an_include_that_is_not_from_the_root(self):
        self.expect('not a path from the root', {'log/log.cc': '#include "format.h"\n'})

    def test_product_code_that_includes_a_test(self):
        self.expect('not product code', {
            'tests/fake.h': HEADER, 'log/log.cc': '#include "tests/fake.h"\n'})

    def test_a_public_header_that_includes_the_inside(self):
        self.expect('not installed', {
            'include/duramen/result.h': HEADER + '#include "base/io.h"\n'})

    def test_a_public_header_that_needs_more_than_std(self):
        self.expect('no more than std', {
            'include/duramen/types.h': HEADER + '#include <sys/mman.h>\n'})

    def test_a_link_that_is_no_arrow(self):
        self.expect("links ['meta']", {
            'wal/CMakeLists.txt': 'duramen_library(wal SOURCES format.cc LINKS base meta)\n'})

    def test_an_arrow_that_is_not_linked(self):
        self.expect("the arrows are ['wal']", {
            'log/CMakeLists.txt': 'duramen_library(log SOURCES log.cc LINKS base)\n'})

    def test_a_source_that_nobody_compiles(self):
        self.expect('not listed in base/CMakeLists.txt', {'base/forgotten.cc': '\n'})

    def test_globbed_sources(self):
        self.expect('never globbed', {
            'base/CMakeLists.txt':
                'file(GLOB s *.cc)\nduramen_library(base SOURCES io.cc check.cc)\n'})

    def test_a_pure_file_with_a_thread(self):
        self.expect('<mutex> in a pure file', {
            'wal/format.h': HEADER + '#include <mutex>\n'})

    def test_a_pure_file_that_reaches_the_disk_through_another_header(self):
        self.expect('reaches base/io.h', {
            'wal/between.h': HEADER + '#include "base/io.h"\n',
            'wal/verdict.h': HEADER + '#include "wal/between.h"\n'})

    def test_a_pure_file_with_a_global(self):
        self.expect('a mutable static variable', {
            'wal/format.cc': '#include "wal/format.h"\nstatic int calls = 0;\n'})

    def test_a_long_function(self):
        self.expect('Foo has 72 lines', {
            'base/io.cc': '#include "base/io.h"\nint Foo(int x) {\n' + lines(70) + '}\n'})

    def test_a_function_of_the_allowed_length(self):
        self.assertEqual(findings({
            'base/io.cc': '#include "base/io.h"\nint Foo(int x) {\n' + lines(68) + '}\n'}), [])

    def test_a_long_file(self):
        self.expect('701 lines', {'base/io.cc': '#include "base/io.h"\n' + '\n' * 700})

    def test_too_many_parameters(self):
        self.expect('Foo takes 5', {
            'base/io.cc': '#include "base/io.h"\n'
                          'int Foo(int a, int b, int c, int d, int e) { return a; }\n'})

    def test_a_long_line(self):
        self.expect('101 columns', {'base/io.cc': '#include "base/io.h"\n' + '/' * 101 + '\n'})

    def test_the_ratchet_allows_what_it_names_and_no_more(self):
        long = {'base/io.cc': '#include "base/io.h"\nint Foo(int x) {\n' + lines(80) + '}\n'}
        ratchet = 'tests/tidy/ratchet.txt'
        self.assertEqual(findings(long | {ratchet: 'function base/io.cc Foo 82\n'}), [])
        self.assertIn('Foo has 82', findings(long | {ratchet: 'function base/io.cc Foo 81\n'})[0])

    def test_the_ratchet_only_shrinks(self):
        long = {'base/io.cc': '#include "base/io.h"\nint Foo(int x) {\n' + lines(80) + '}\n'}
        ratchet = 'tests/tidy/ratchet.txt'
        self.expect('lower it to 82', long | {ratchet: 'function base/io.cc Foo 83\n'})
        self.expect('take it out', {ratchet: 'function base/io.cc Gone 83\n'})

    def test_banned_calls(self):
        for path, code in [
                ('base/io.cc', 'assert(x);'), ('base/io.cc', 'int* p = new int;'),
                ('base/io.cc', 'delete p;'), ('base/io.cc', 'int x = rand();'),
                ('base/io.cc', 'std::regex r;'), ('base/io.cc', 'std::cout << 1;'),
                ('base/io.cc', 'printf("x");'), ('base/io.cc', 'throw 1;'),
                ('base/io.cc', 'sprintf(to, "x");'),
                ('base/io.cc', 'Foo foo{.first = 1, .second = TRY(G())};'),
                ('tests/a_test.cc', 'std::this_thread::sleep_for(x);'),
                ('tests/a_test.cc', 'usleep(1);'), ('tests/a_test.cc', 'GTEST_SKIP();'),
                ('tests/a_test.cc', 'TEST(A, DISABLED_B) {}')]:
            with self.subTest(code=code):
                own = '#include "base/io.h"\n' if path == 'base/io.cc' else ''
                self.expect('banned', {path: f'{own}void F() {{ {code} }}\n'})

    def test_what_only_looks_banned(self):
        for code in ['static_assert(true);', 'Foo(const Foo&) = delete;', '// assert(x) is gone',
                     'auto s = "new delete rand()";', 'snprintf(to, 3, "x");', 'rng.random();',
                     'auto* p = new (place) Foo;', 'auto n = 1\'000 + renew(2);',
                     'return std::unique_ptr<A>(new B);']:
            with self.subTest(code=code):
                self.assertEqual(findings({
                    'base/io.cc': f'#include "base/io.h"\nvoid F() {{ {code} }}\n'}), [])

    def test_banned_includes(self):
        for name in ['cassert', 'regex', 'format', 'ranges', 'source_location']:
            with self.subTest(name=name):
                self.expect('banned', {'base/io.cc': f'#include "base/io.h"\n#include <{name}>\n'})

    def test_headers(self):
        self.expect('no #pragma once', {'base/io.h': '// What.\n'})
        self.expect('opens with what it is', {'base/io.h': '#pragma once\n'})
        self.expect('is heavy', {'base/io.h': HEADER + '#include <nlohmann/json.hpp>\n'})
        self.expect('comes first', {'base/io.cc': '#include <cstdint>\n#include "base/io.h"\n'})
        self.expect('says nothing', {'base/string_util.h': HEADER})

    def test_words(self):
        self.expect('finish it', {'base/io.h': HEADER + '// TODO: more.\n'})
        self.expect('finish it', {'base/README.md': 'Simple for now.\n'})
        self.expect('not in this repository', {'base/README.md': 'see ../shared/notes\n'})

    def test_pages(self):
        self.expect('no FORMAT.md', {'meta/format.h': HEADER})
        self.expect('nobody reads it', {'ARCHITECTURE.md': 'x\n' * 300})
        self.expect('no README.md', {
            'meta/CMakeLists.txt': 'duramen_library(meta LINKS base)\n',
            'log/CMakeLists.txt': 'duramen_library(log SOURCES log.cc LINKS wal meta base)\n'})


class FunctionScan(unittest.TestCase):
    def scan(self, code):
        return [(one.name, one.line, one.lines, one.parameters)
                for one in Source('x.cc', code).functions()]

    def test_members_constructors_and_operators(self):
        code = '''namespace a {
class B final : public C {
 public:
  B(int x, std::map<int, int> y) : x_(x), y_{y} {
    x_ = 1;
  }
  bool operator()(int p) const noexcept { return p; }
  struct Inner {
    int z = 0;
  };
 private:
  int x_{0};
};
enum class E : std::uint8_t { kA, kB };
const int kTable[] = {1, 2};
template <typename T, typename U>
Result<std::pair<T, U>> Make(T t,
                             U u) {
  auto f = [&](int a, int b) { return a; };
  if (t) {
    return u;
  }
  return {};
}
}  // namespace a
extern "C" {
void D(void) {}
}
TEST(Suite, W1_Shows) {
}
'''
        self.assertEqual(self.scan(code), [
            ('B', 4, 3, 2), ('operator()', 7, 1, 1), ('Make', 16, 9, 2), ('D', 27, 1, 0),
            ('Suite.W1_Shows', 29, 2, 0)])

    def test_braces_in_macros_comments_and_literals_do_not_count(self):
        code = '''#define M(x) \\
  do {        \\
    x;        \\
  } while (0)
// }
int F(char a) { return a == '{' || "}"[0] == R"(}})"[0] ? 1'000 : 0; }
int G() { return 0; }
'''
        self.assertEqual([one[0] for one in self.scan(code)], ['F', 'G'])


if __name__ == '__main__':
    unittest.main()
