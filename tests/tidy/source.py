"""A C++ file as the tidy rules see it: includes, code without comments and literals, functions.

No parser: a scan over braces that is right for code in the form of .clang-format (a body's brace
stands behind a space, an initialiser's behind its name). tidy_test.py holds the cases.
"""
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Include:
    line: int
    name: str
    quoted: bool


@dataclass(frozen=True)
class Function:
    name: str
    line: int
    lines: int
    parameters: int


def without_comments_and_literals(text):
    """Blanks comments and the insides of literals, keeping every line break."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'", re.DOTALL)

    def blank(match):
        found = match.group(0)
        keep = '""' if '"' in found[:2] and not found.startswith('/') else ''
        return keep + re.sub(r'[^\n]', ' ', found[len(keep):])

    return pattern.sub(blank, text)


class Source:
    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.code = without_comments_and_literals(text)

    def lines(self):
        return self.text.split('\n')

    def includes(self):
        found = []
        for number, line in enumerate(self.lines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match:
                found.append(Include(number, match.group(2), match.group(1) == '"'))
        return found

    def line_of(self, offset):
        return self.code.count('\n', 0, offset) + 1

    def functions(self):
        """Every function with a body at namespace or class scope; lambdas count for their owner."""
        # Preprocessor lines hold braces of macros, not of the scopes around them.
        code = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: re.sub(r'[^\n]', ' ', m.group(0)),
                      self.code, flags=re.MULTILINE)
        found = []
        at = head = 0
        while at < len(code):
            char = code[at]
            if char in ';}':
                head = at + 1
            elif char == '{':
                kind = _kind_of_brace(code[head:at])
                if kind == 'scope':
                    head = at + 1
                else:
                    end = _matching(code, at)
                    if kind == 'function':
                        found.append(self._function(code, head, at, end))
                        head = end + 1
                    at = end
            at += 1
        return found

    def _function(self, code, head, brace, end):
        text = code[head:brace]
        start = head + re.match(r'(\s|(public|private|protected)\s*:)*', text).end()
        name, parameters = _signature(text)
        first = self.line_of(start)
        return Function(name, first, self.line_of(end) - first + 1, parameters)


def _kind_of_brace(head):
    """What the brace behind `head` opens: 'scope', 'function' or 'initialiser'."""
    last = head[-1:]
    words = re.sub(r'\b(public|private|protected)\s*:', ' ', head)
    words = re.sub(r'\btemplate\s*<[^{;]*?>\s*(?=\b\w)', ' ', words)
    if re.match(r'\s*(inline\s+)?namespace\b|\s*extern\s*""\s*$', words):
        return 'scope'
    is_type = re.match(r'\s*(typedef\s+)?(class|struct|union|enum)\b', words)
    if is_type and not re.search(r'\)\s*(const|noexcept|override|final|\s)*$', words):
        return 'scope'
    if last.isspace() and '(' in words and not re.search(r'=\s*$', words):
        return 'function'
    return 'initialiser'


def _matching(code, at):
    depth = 0
    for end in range(at, len(code)):
        if code[end] == '{':
            depth += 1
        elif code[end] == '}':
            depth -= 1
            if depth == 0:
                return end
    return len(code) - 1


def _signature(head):
    """Name and number of parameters of the function that `head` declares."""
    head = re.sub(r'__attribute__\s*\(\(.*?\)\)|\[\[.*?\]\]', ' ', head, flags=re.DOTALL)
    match = re.search(r'(operator\s*(?:\(\)|[^\s(]+)|[~\w:]+)\s*\(', head)
    if not match:
        return '?', 0
    name = match.group(1)
    depth = 0
    commas = 0
    end = match.end()
    for end in range(match.end() - 1, len(head)):
        char = head[end]
        if char in '([{<':
            depth += 1
        elif char in ')]}' or (char == '>' and head[end - 1] != '-'):
            depth -= 1
            if depth == 0:
                break
        elif char == ',' and depth == 1:
            commas += 1
    inside = head[match.end():end].strip()
    if re.fullmatch(r'TEST(_F|_P)?|RC_GTEST_PROP|TYPED_TEST', name):
        return '.'.join(part.strip() for part in inside.split(',')), 0
    return name, commas + 1 if inside and inside != 'void' else 0
