"""The rules of the house. Each takes the tree and yields findings; none prints or exits."""
import fnmatch
import os
import re
from dataclasses import dataclass, field

from source import Source

# Arrows between folders, as in ARCHITECTURE.md: who may link whom. Includes may follow them over
# several steps, as the linker does; CMake targets link exactly these.
ARROWS = {
    'base': [],
    'wal': ['base'],
    'memtable': ['base'],
    'meta': ['base'],
    'snapshot': ['base'],
    'history': ['base'],
    'segments': ['memtable', 'base'],
    'log': ['wal', 'memtable', 'segments', 'meta', 'snapshot', 'base'],
    'shm': ['log', 'base'],
    'server/core': ['base'],
    'server': ['server/core', 'shm', 'log', 'base'],
    'sim': ['base'],
    'simulator': ['server', 'sim', 'history', 'base'],
    'tools': ['simulator', 'server', 'shm', 'log', 'history', 'base'],
}
LIBRARIES = [folder for folder in ARROWS if folder != 'tools']

# Files without clock, thread, lock, I/O or globals: what they compute depends on arguments alone.
PURE = ['wal/format*', 'wal/batch*', 'wal/verdict*', 'meta/row*', 'meta/table*',
        'meta/sequence_audit*', 'meta/checkpoint.*', 'meta/checkpoint_server*',
        'meta/checkpoint_merge*', 'segments/format*', 'segments/segment_list*', 'log/repair_format*',
        'server/core/*', 'history/*']
IMPURE_STD = re.compile(
    r'^(thread|mutex|shared_mutex|atomic|condition_variable|future|semaphore|latch|barrier|'
    r'stop_token|chrono|ctime|time\.h|random|fstream|iostream|cstdio|stdio\.h|filesystem|'
    r'unistd\.h|fcntl\.h|sys/.*|linux/.*|boost/.*)$')
IMPURE_OWN = ['base/clock.h', 'base/io.h', 'base/posix_io.h', 'base/actor.h', 'base/ring.h',
              'base/shared_memory.h', 'base/log.h', 'base/counters.h']
IMPURE_CODE = [
    (r'\bthread_local\b', 'a variable per thread'),
    (r'\b(getenv|clock_gettime|gettimeofday)\s*\(', 'the environment or a clock'),
    (r'\bstatic\s+(?!const\b|constexpr\b|inline\b|constinit\b)[\w:<>,&* ]+\s+\w+\s*(=|;|\{)',
     'a mutable static variable'),
    (r'\b(unordered_)?(map|set)<\s*(const\s+)?[\w:]+\s*\*', 'an order of addresses'),
]

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 700
PARAMETERS_MAX = 4
COLUMNS_MAX = 100

EVERYWHERE, IN_LIBRARIES, IN_TESTS = 'everywhere', 'libraries', 'tests'
BANNED = [
    ('assert', r'(?<!\w)assert\s*\(', EVERYWHERE, 'gone in release: CHECK or static_assert'),
    ('sleep', r'\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\(', IN_TESTS,
     'wait for an event, not for time'),
    ('skip', r'\bGTEST_SKIP\b|\bDISABLED_', IN_TESTS, 'a test that does not run proves nothing'),
    ('print', r'\bstd::(cout|cerr|clog)\b'
              r'|(?<![\w:.])(std::)?(printf|fprintf|puts|fputs|putchar)\s*\(',
     IN_LIBRARIES, 'the library prints nothing: LogSink'),
    ('throw', r'\bthrow\b', IN_LIBRARIES, 'Result or CHECK'),
    ('rand', r'(?<![\w:.>])(std::)?(rand|srand|random|drand48)\s*\(|\bstd::random_device\b',
     EVERYWHERE, 'base/rng.h, seeded'),
    ('regex', r'\bstd::w?(s|c)?regex\b', EVERYWHERE, 'slow and recursive: parse by hand'),
    # Placement into mapped memory and a unique_ptr's first breath are not raw.
    ('new', r'(?<!>\()(?<![\w.])new\b(?!\s*\()|(?<!=)(?<!= )\bdelete\b', EVERYWHERE,
     'values, containers, unique_ptr'),
    ('unsafe', r'(?<![\w:.>])(std::)?(strcpy|strcat|sprintf|vsprintf|gets)\s*\(', EVERYWHERE,
     'no bound'),
    # GCC 12 does not destroy the members before it when an initialiser returns.
    ('try', r'[{,]\s*\.\w+\s*=\s*[^;{}]*\bTRY\s*\(', EVERYWHERE,
     'leaks on the way out: assign it after the braces'),
]
# Where a rule's reason does not hold, with the reason why.
ALLOWED = {
    ('print', 'base/check.cc'): 'the last words of a process that aborts',
}
NEW_ALLOWED = {
    'log/reader.cc': 'Pin holds its inside by an opaque pointer, so that it can be moved inline',
    'log/registry.cc': 'Writer likewise',
    'log/writer.cc': 'Writer likewise',
}

BANNED_INCLUDES = {
    'cassert': 'CHECK or static_assert', 'assert.h': 'CHECK or static_assert',
    'regex': 'slow and recursive', 'format': 'not in GCC 12', 'ranges': 'not in Clang 14',
    'source_location': 'not in Clang 14',
}
HEAVY_INCLUDES = re.compile(r'^(boost|CLI|toml\+\+|nlohmann)/')  # in .cc files only

UNFINISHED = re.compile(r'\b(TODO|FIXME|XXX|HACK|stub|placeholder|for now)\b')
PLACES = re.compile(r'\.\./shared|/work/|/home/|/root/|/tmp/(plan|build)|'
                    r'\b(DESIGN\b|(RULES|FEATURES|SCENARIOS|API|CLI)\.md)')
PLACES_ALLOWED = ['.ci/run']
VAGUE_NAMES = re.compile(r'(^|_)(util|utils|helper|helpers|manager|misc|common)(_|\.|$)')


@dataclass
class Finding:
    rule: str
    path: str
    line: int
    message: str

    def __str__(self):
        return f'{self.path}:{self.line}: {self.rule}: {self.message}'


@dataclass
class Tree:
    """All files below a root, by path relative to it."""
    root: str
    cxx: dict = field(default_factory=dict)   # path -> Source
    text: dict = field(default_factory=dict)  # path -> str

    @staticmethod
    def read(root):
        tree = Tree(root)
        for folder, folders, names in os.walk(root):
            inside = os.path.relpath(folder, root)
            folders[:] = sorted(name for name in folders
                                if name not in ('.git', '__pycache__', 'testdata', 'corpus')
                                and not (inside == '.' and name in ('build', 'out')))
            for name in sorted(names):
                path = os.path.normpath(os.path.join(inside, name))
                if name.endswith(('.h', '.cc')):
                    tree.cxx[path] = Source(path, _read(os.path.join(folder, name)))
                elif name.endswith(('.md', '.txt', '.cmake', '.in', '.json', '.sh', '.py')) \
                        or path in ('run', '.ci/run'):
                    tree.text[path] = _read(os.path.join(folder, name))
        return tree


def _read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def folder_of(path):
    """The library that a file belongs to, or None."""
    fits = [folder for folder in ARROWS if path.startswith(folder + '/')]
    return max(fits, key=len) if fits else None


def reachable(folder):
    found, waiting = set(), [folder]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += ARROWS[one]
    return found


def included_file(tree, name):
    """The project file that `#include "name"` means, or None."""
    for path in (name, 'include/' + name):
        if path in tree.cxx:
            return path
    return None


def arrows(tree):
    for path, source in tree.cxx.items():
        folder = folder_of(path)
        for include in source.includes():
            if not include.quoted:
                continue
            target = included_file(tree, include.name)
            if target is None:
                yield Finding('include', path, include.line,
                              f'"{include.name}" is not a path from the root')
            elif path.startswith('include/') and not target.startswith('include/'):
                yield Finding('arrow', path, include.line,
                              f'a public header includes "{include.name}", which is not installed')
            elif folder is not None and target.startswith(('tests/', 'bench/', 'examples/')):
                yield Finding('arrow', path, include.line, f'"{include.name}" is not product code')
            elif folder is not None and folder_of(target) is not None \
                    and folder_of(target) not in reachable(folder):
                yield Finding('arrow', path, include.line,
                              f'{folder} may not see {folder_of(target)}')


def links(tree):
    """CMake targets link exactly the arrows, as far as the folders exist."""
    built = {folder for folder in ARROWS if folder + '/CMakeLists.txt' in tree.text}
    for folder in sorted(built):
        text = re.sub(r'#[^\n]*', '', tree.text[folder + '/CMakeLists.txt'])
        linked = set()
        for match in re.finditer(r'duramen_library\(\s*(\w+)([^)]*)\)', text):
            arguments = match.group(2).split()
            if 'LINKS' in arguments:
                linked |= set(arguments[arguments.index('LINKS') + 1:])
        names = '|'.join(LIBRARIES).replace('/', '_')
        linked |= set(re.findall(rf'\bduramen_({names})\b', text))
        linked = {name.replace('server_core', 'server/core') for name in linked} - {'base', folder}
        wanted = {name for name in ARROWS[folder] if name in built} - {'base'}
        if linked != wanted:
            yield Finding('links', folder + '/CMakeLists.txt', 1,
                          f'links {sorted(linked)}, the arrows are {sorted(wanted)}')
        if 'GLOB' in text:
            yield Finding('links', folder + '/CMakeLists.txt', 1,
                          'sources are listed, never globbed')
        for path in tree.cxx:
            listed = r'(?<![\w.])' + re.escape(path[len(folder) + 1:]) + r'\b'
            if folder_of(path) == folder and path.endswith('.cc') and not re.search(listed, text):
                yield Finding('links', path, 1, f'not listed in {folder}/CMakeLists.txt')


def purity(tree):
    for path, source in tree.cxx.items():
        if not any(fnmatch.fnmatch(path, pattern) for pattern in PURE):
            continue
        for include in source.includes():
            if not include.quoted and IMPURE_STD.match(include.name):
                yield Finding('purity', path, include.line, f'<{include.name}> in a pure file')
        for target, line in _all_own_includes(tree, path):
            if target in IMPURE_OWN:
                yield Finding('purity', path, line, f'reaches {target}, which is not pure')
        for pattern, what in IMPURE_CODE:
            for match in re.finditer(pattern, source.code):
                yield Finding('purity', path, source.line_of(match.start()), what)


def _all_own_includes(tree, path):
    """Project files that `path` includes, directly or not, with the line that leads there."""
    seen = set()
    waiting = [(target, include.line) for include in tree.cxx[path].includes() if include.quoted
               for target in [included_file(tree, include.name)] if target]
    while waiting:
        target, line = waiting.pop()
        if target in seen:
            continue
        seen.add(target)
        yield target, line
        waiting += [(deeper, line) for include in tree.cxx[target].includes() if include.quoted
                    for deeper in [included_file(tree, include.name)] if deeper]


def lengths(tree):
    """Yields (key, value, maximum, finding) for what is over a limit; the ratchet decides."""
    for path, source in tree.cxx.items():
        lines = source.text.count('\n')
        if lines > FILE_LINES_MAX:
            yield (('file', path, '-'), lines, Finding(
                'length', path, 1, f'{lines} lines, {FILE_LINES_MAX} at most in a file'))
        for function in source.functions():
            if function.lines > FUNCTION_LINES_MAX:
                yield (('function', path, function.name), function.lines, Finding(
                    'length', path, function.line,
                    f'{function.name} has {function.lines} lines, {FUNCTION_LINES_MAX} at most'))
            if function.parameters > PARAMETERS_MAX:
                yield (('parameters', path, function.name), function.parameters, Finding(
                    'parameters', path, function.line,
                    f'{function.name} takes {function.parameters}, {PARAMETERS_MAX} at most: '
                    'a struct'))


def columns(tree):
    for path, source in tree.cxx.items():
        for number, line in enumerate(source.lines(), 1):
            if len(line) > COLUMNS_MAX and 'http' not in line:
                yield Finding('columns', path, number,
                              f'{len(line)} columns, {COLUMNS_MAX} at most')


def banned_calls(tree):
    for path, source in tree.cxx.items():
        in_library = path.startswith('include/') or folder_of(path) in LIBRARIES
        for name, pattern, where, why in BANNED:
            if where == IN_LIBRARIES and not in_library:
                continue
            if where == IN_TESTS and not path.startswith('tests/'):
                continue
            if (name, path) in ALLOWED or (name == 'new' and path in NEW_ALLOWED):
                continue
            for match in re.finditer(pattern, _without_preprocessor(source.code)):
                yield Finding('banned', path, source.line_of(match.start()),
                              f'{match.group(0).strip()} ({why})')
        for include in source.includes():
            if include.name in BANNED_INCLUDES:
                yield Finding('banned', path, include.line,
                              f'<{include.name}> ({BANNED_INCLUDES[include.name]})')


def _without_preprocessor(code):
    return re.sub(r'^[ \t]*#[^\n]*', lambda m: ' ' * len(m.group(0)), code, flags=re.MULTILINE)


def headers(tree):
    for path, source in tree.cxx.items():
        if path.endswith('.h'):
            if not source.text.startswith('//'):
                yield Finding('header', path, 1, 'opens with what it is, in a comment')
            if '#pragma once' not in source.text:
                yield Finding('header', path, 1, 'no #pragma once')
            for include in source.includes():
                if not include.quoted and HEAVY_INCLUDES.match(include.name):
                    yield Finding('header', path, include.line,
                                  f'<{include.name}> is heavy: in a .cc file only')
        if path.startswith('include/'):
            for include in source.includes():
                if not include.quoted and not re.fullmatch(r'[a-z_]+', include.name):
                    yield Finding('header', path, include.line,
                                  f'<{include.name}>: a public header needs no more than std')
        own = path[:-3] + '.h'
        if path.endswith('.cc') and own in tree.cxx:
            first = next(iter(source.includes()), None)
            if first is None or first.name != own:
                yield Finding('header', path, first.line if first else 1, f'"{own}" comes first')
        if VAGUE_NAMES.search(os.path.basename(path)):
            yield Finding('name', path, 1, 'says nothing about what is in it')


def words(tree):
    every = {path: source.text for path, source in tree.cxx.items()}
    every.update(tree.text)
    for path, text in every.items():
        if path.startswith('tests/tidy/'):
            continue  # The rules and their offenders spell what they forbid.
        for number, line in enumerate(text.split('\n'), 1):
            match = UNFINISHED.search(line)
            if match:
                yield Finding('words', path, number,
                              f'"{match.group(0)}": finish it or leave it out')
            match = PLACES.search(line)
            if match and path not in PLACES_ALLOWED:
                yield Finding('words', path, number,
                              f'"{match.group(0)}" is not in this repository')


def pages(tree):
    """A README for every folder with code, a FORMAT.md where bytes are laid out."""
    for folder in ARROWS:
        if folder + '/CMakeLists.txt' in tree.text and folder + '/README.md' not in tree.text:
            yield Finding('pages', folder, 1,
                          'no README.md: what lives here, who calls it, what holds')
    for folder in sorted({os.path.dirname(path) for path in tree.cxx
                          if os.path.basename(path) == 'format.h'}):
        if folder + '/FORMAT.md' not in tree.text:
            yield Finding('pages', folder, 1, 'no FORMAT.md')
    if tree.text.get('ARCHITECTURE.md', '').count('\n') >= 300:
        yield Finding('pages', 'ARCHITECTURE.md', 300, 'under 300 lines, or nobody reads it')


RULES = [arrows, links, purity, columns, banned_calls, headers, words, pages]
