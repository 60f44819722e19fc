"""What the checks share: the project's source files, and their text without comments.

The checks run on any directory laid out like this one, so that the self-test can run them on small
trees with one fault each.
"""

import pathlib
import re

FOLDERS = ('engine', 'tensorlog', 'compaction', 'tuner', 'tools', 'tests', 'bench')
LIBRARY_FOLDERS = ('engine', 'tensorlog', 'compaction', 'tuner')

_COMMENT = r'//[^\n]*|/\*.*?\*/'
_STRING = r'R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)"|"(?:\\.|[^"\\\n])*"'
# Not after a digit, where it separates thousands.
_CHARACTER = r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"
_TOKENS = re.compile(f'(?P<comment>{_COMMENT})|{_STRING}|{_CHARACTER}', re.DOTALL)


def source_files(root, suffixes):
  """Paths relative to `root`, with '/', of all files with these suffixes, in a stable order."""
  root = pathlib.Path(root)
  found = []
  for folder in FOLDERS:
    for path in sorted((root / folder).rglob('*')):
      if path.is_file() and path.suffix in suffixes and '__pycache__' not in path.parts:
        found.append(path.relative_to(root).as_posix())
  return found


def read(root, path):
  return (pathlib.Path(root) / path).read_text(encoding='utf-8')


def in_library(path):
  return path.split('/')[0] in LIBRARY_FOLDERS


def without_comments(text):
  """Comments become blanks; lines keep their numbers."""
  return _TOKENS.sub(lambda m: _blank(m.group(0)) if m.group('comment') else m.group(0), text)


def code_only(text):
  """Comments and literals become blanks; lines keep their numbers."""
  return _TOKENS.sub(lambda m: _blank(m.group(0)), text)


def _blank(text):
  return re.sub(r'[^\n]', ' ', text)


def report(name, faults, checked):
  """Prints the faults and returns the exit status. To have checked nothing is a fault."""
  for fault in faults:
    print(fault)
  if not checked:
    print(f'{name}: found no source files; is this the root of the project?')
    return 1
  print(f'{name}: {checked} files, {len(faults)} faults')
  return 1 if faults else 0
