#!/usr/bin/env python3
"""Checks habits that a compiler does not: hygiene.py ROOT

Each header has an include guard named by its path; no file is over 600 lines; the library neither
throws nor catches; tests do not sleep; each source file is listed in a meson.build, so that none
is dead.
"""

import pathlib
import re
import sys

import tree

MAX_LINES = 600
_THROWS = re.compile(r'\b(throw|try|catch)\b')
_SLEEPS = re.compile(r'\b(sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\(')
# Headers whose guard is named by the path under which they are installed.
INSTALLED = {'engine/lamina.h': 'lamina/lamina.h', 'engine/lamina_c.h': 'lamina/lamina_c.h'}


def guard_faults(path, text):
  name = INSTALLED.get(path, path)
  prefix = '' if name.startswith('lamina/') else 'LAMINA_'
  guard = prefix + re.sub(r'[^A-Za-z0-9]', '_', name).upper() + '_'
  directives = re.findall(r'^#.*$', tree.without_comments(text), re.MULTILINE)
  directives = [' '.join(line.split()) for line in directives]
  if directives[:2] != [f'#ifndef {guard}', f'#define {guard}'] or directives[-1] != '#endif':
    yield f'{path}: has no include guard {guard} around all of it'


def line_faults(path, text, pattern, why):
  for number, line in enumerate(tree.code_only(text).split('\n'), 1):
    match = pattern.search(line)
    if match:
      yield f'{path}:{number}: {match.group(1)}: {why}'


def listed(root, path):
  """True if a meson.build beside or above `path` names it."""
  file = pathlib.Path(root) / path
  for folder in file.parents:
    build = folder / 'meson.build'
    if build.is_file() and f"'{file.relative_to(folder).as_posix()}'" in build.read_text():
      return True
    if folder == pathlib.Path(root):
      return False
  return False


def check_file(root, path):
  text = tree.read(root, path)
  lines = text.count('\n')
  if lines > MAX_LINES:
    yield f'{path}: has {lines} lines; over {MAX_LINES} it has a second subject'
  if path.endswith('.h'):
    yield from guard_faults(path, text)
  if path.endswith(('.cc', '.c')) and not listed(root, path):
    yield f'{path}: is in no meson.build; list it or remove it'
  if tree.in_library(path) and not path.endswith('.py'):
    yield from line_faults(path, text, _THROWS, 'the library has no exceptions')
  if path.startswith('tests/') and path.endswith(('.cc', '.h', '.c')):
    yield from line_faults(path, text, _SLEEPS, 'a test waits for what it needs, not for time')


def check(root):
  """Returns (faults, number of files read)."""
  files = tree.source_files(root, ('.h', '.cc', '.c', '.py'))
  faults = [fault for path in files for fault in check_file(root, path)]
  return faults, len(files)


if __name__ == '__main__':
  sys.exit(tree.report('hygiene', *check(sys.argv[1])))
