"""The pages say what is true.

Usage: docs_test.py ROOT DURAMEN     DURAMEN is the binary that the README's commands run
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tables  # noqa: E402

ROOT, DURAMEN = '.', None
TIMEOUT_SECONDS = 120


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def pages():
    for folder, folders, names in os.walk(ROOT):
        inside = os.path.relpath(folder, ROOT)
        folders[:] = [name for name in folders if name not in ('.git', 'testdata', 'corpus')
                      and not (inside == '.' and name in ('build', 'out'))]
        for name in names:
            if name.endswith('.md'):
                yield os.path.normpath(os.path.join(inside, name))


def blocks(page, language):
    return re.findall(r'^```' + language + r'\n(.*?)^```', read(page), re.DOTALL | re.MULTILINE)


class Tables(unittest.TestCase):
    def test_every_id_once_in_a_known_state(self):
        seen = set()
        for page, number, one, state, _ in tables.rows(ROOT):
            self.assertNotIn((page, one), seen, f'{page}:{number}')
            self.assertIn(state, tables.STATES, f'{page}:{number}')
            seen.add((page, one))
        self.assertGreater(len(seen), 200)

    def test_shown_by_names_the_tests_that_carry_the_id(self):
        tests = tables.tests_by_id(ROOT)
        for page, number, one, _, cell in tables.rows(ROOT):
            self.assertEqual(cell, tables.shown_by(cell, one, tests.get(one, ())),
                             f'{page}:{number}: run tests/docs/tables.py --write')

    def test_what_is_done_is_shown(self):
        for page, number, one, state, cell in tables.rows(ROOT):
            if state == 'done':
                self.assertNotEqual(cell, '', f'{page}:{number}: done, and nothing shows it')

    def test_rules_cited_in_code_are_explained(self):
        known = {one for page, _, one, _, _ in tables.rows(ROOT) if page == 'docs/rules.md'}
        for folder in ('base', 'wal', 'memtable', 'segments', 'meta', 'log', 'shm', 'history', 'tools',
                       'include'):
            for inside, _, names in os.walk(os.path.join(ROOT, folder)):
                for name in names:
                    if not name.endswith(('.h', '.cc', '.md')):
                        continue
                    with open(os.path.join(inside, name), encoding='utf-8') as file:
                        for cited in re.findall(r'\[((?:[ABC]\d+(?:, )?)+)\]', file.read()):
                            for one in cited.split(', '):
                                self.assertIn(one, known, f'{inside}/{name}')


class Pages(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in pages():
            text = re.sub(r'```.*?```', '', read(page), flags=re.DOTALL)
            for target in re.findall(r'\]\(([^)\s#]+)(?:#[^)]*)?\)', text):
                if '://' not in target:
                    where = os.path.join(ROOT, os.path.dirname(page), target)
                    self.assertTrue(os.path.exists(where), f'{page}: {target}')

    def test_decisions_are_numbered_and_short(self):
        names = sorted(os.listdir(os.path.join(ROOT, 'docs/decisions')))
        for number, name in enumerate(names, 1):
            self.assertTrue(name.startswith(f'{number:04}-'), name)
            self.assertLessEqual(read('docs/decisions/' + name).count('\n'), 30, name)


class Metrics(unittest.TestCase):
    def test_the_page_has_every_metric_and_no_other(self):
        code = re.findall(r'\{"(\w+)", "(\w*)",\s+"[^"]*",\s+k(Counter|Gauge|Since|Histogram),',
                          read('log/store_stats.cc'))
        kinds = {'Counter': 'counter', 'Gauge': 'gauge', 'Since': 'gauge', 'Histogram': 'histogram'}
        told = [(name, kinds[kind], unit) for name, unit, kind in code]
        shown = re.findall(r'^\| `(\w+)` \| (\w+) \| (\w*) ?\|', read('docs/metrics.md'), re.M)
        self.assertEqual(told, shown)
        self.assertGreater(len(told), 60)


class Settings(unittest.TestCase):
    def test_the_page_is_what_the_schema_prints(self):
        told = subprocess.run([DURAMEN, 'config', 'page'], stdout=subprocess.PIPE, check=True,
                              text=True, timeout=TIMEOUT_SECONDS).stdout
        self.assertEqual(told, read('docs/settings.md'),
                         'duramen config page > docs/settings.md')
        self.assertGreater(told.count('\n| `'), 30)


class Units(unittest.TestCase):
    """The units of systemd, as far as that can be told without systemd."""
    def settings(self, name):
        lines = re.sub(r'(?m)^#.*$', '', read('packaging/' + name)).split('\n')
        for line in filter(None, lines):
            self.assertRegex(line, r'^(\[\w+\]|\w+=.*)$')
        return dict(line.split('=', 1) for line in lines if '=' in line)

    def test_service_socket_and_verb_fit(self):
        service = self.settings('duramen-wal.service.in')
        socket = self.settings('duramen-wal.socket')
        verb, flags = service['ExecStart'].split('/duramen ', 1)[1].split(' ', 1)
        usage = subprocess.run([DURAMEN, verb, '--help'], stdout=subprocess.PIPE, check=True,
                               text=True, timeout=TIMEOUT_SECONDS).stdout
        given = dict(zip(flags.split()[::2], flags.split()[1::2]))
        for flag in given:
            self.assertRegex(usage, rf'(?m)^  {flag}\b')
        self.assertEqual(given['--socket'], socket['ListenSequentialPacket'])
        self.assertEqual(given['--data-dir'], '/var/lib/' + service['StateDirectory'])
        self.assertEqual(service['Type'], 'notify')
        self.assertEqual(service['User'], socket['SocketUser'])
        self.assertIn(f"u {service['User']} ", read('packaging/duramen.sysusers'))


class Readme(unittest.TestCase):
    def test_the_example_is_the_file(self):
        self.assertIn(read('examples/append.cc'), blocks('README.md', 'cpp'))

    def test_run_knows_its_verbs(self):
        usage = subprocess.run([os.path.join(ROOT, 'run'), '--help'], stdout=subprocess.PIPE,
                               check=True, text=True, timeout=TIMEOUT_SECONDS).stdout
        for verb in re.findall(r'\./run (\w+)\b', read('README.md')):
            if verb.islower():
                self.assertRegex(usage, rf'(?m)(\./run|\|) {verb}\b')

    def test_the_commands_run_and_print_what_is_shown(self):
        """Each console block is one shell, all in one empty directory. A comment `# exit N` says
        what to expect; each shown line has to come, with any numbers. `./run` stands for its demo."""
        with tempfile.TemporaryDirectory() as place:
            os.mkdir(os.path.join(place, 'bin'))
            shutil.copy(DURAMEN, os.path.join(place, 'bin', 'duramen'))
            count = 0
            for block in blocks('README.md', 'console'):
                shown = commands(block)
                printed = self.run_block(place, [command for command, _ in shown])
                self.assertEqual(len(printed), len(shown))
                for (command, expected), (exit_status, output) in zip(shown, printed):
                    self.check(command, expected, exit_status, output)
                    count += 1
            self.assertGreaterEqual(count, 8)

    def run_block(self, place, lines):
        """(exit status, output lines) of each command."""
        script = ''.join(f'{line}\nprintf "\\n@exit %d@\\n" $?\n'.replace('./run\n', 'duramen demo\n')
                         for line in lines)
        environment = dict(os.environ, PATH=os.path.join(place, 'bin') + ':' + os.environ['PATH'])
        done = subprocess.run(['bash', '-c', script], cwd=place, text=True, env=environment,
                              timeout=TIMEOUT_SECONDS, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        parts = re.split(r'\n@exit (\d+)@\n', done.stdout)
        return [(int(status), output.split('\n')) for output, status in zip(parts[::2], parts[1::2])]

    def check(self, command, expected, exit_status, output):
        wanted = re.search(r'# exit (\d+)$', command)
        everything = f'{command}\n' + '\n'.join(output)
        self.assertEqual(exit_status, int(wanted.group(1)) if wanted else 0, everything)
        printed = [masked(line) for line in output]
        for line in expected:
            if line.strip() not in ('', '...'):
                self.assertIn(masked(line), printed, everything)


def commands(block):
    """(command, lines shown after it) of a console block."""
    found = []
    for line in block.split('\n'):
        if line.startswith('$ '):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return found


def masked(line):
    """A line without what differs from run to run: numbers with their units, uids, spaces; what a
    kill left behind, and in which file of the demo's copy there is something to damage."""
    line = re.sub(r'(entr(?:y|ies)), .*', r'\1', line)
    line = re.sub(r'\b(?:wal/\d+\.wal|servers/\w+/\d+\.seg)\b', 'FILE', line)
    line = re.sub(r'\b[0-9a-z]{26}\b', 'UID', line)
    line = re.sub(r'\bduramen-demo-\w+', 'PLACE', line)
    line = re.sub(r'\d[\d,.:]*\s*(?:[KMGT]?i?B(?:/s)?|[nuµm]?s)?(?![A-Za-z])', 'N', line)
    return re.sub(r'\s+', ' ', line).strip()


if __name__ == '__main__':
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    ROOT, DURAMEN = sys.argv[1], os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
