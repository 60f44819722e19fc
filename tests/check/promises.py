#!/usr/bin/env python3
"""Checks that what is promised is tried: promises.py ROOT

Each row of the table of promises in README.md names tests, as `folder/file_test.cc`: "name", "name".
Those have to exist, and a row has at least one of them or refers to the rows before it.
"""

import pathlib
import re
import sys

import tree

HEADER = '| fault |'
_FILE = re.compile(r'`([a-z_]+/[a-z_]+\.cc)`((?:[:,] ?"[^"]*")*)')
_CASE = re.compile(r'TEST_CASE\(\s*((?:"[^"]*"\s*)+)')


def cases(text):
  """The names of the test cases in a file."""
  return {''.join(re.findall(r'"([^"]*)"', names)) for names in _CASE.findall(text)}


def rows(readme):
  """The rows of the table: (line number, cells)."""
  lines = readme.split('\n')
  begin = next((i for i, line in enumerate(lines) if line.startswith(HEADER)), None)
  if begin is None:
    return
  for number, line in enumerate(lines[begin + 2:], begin + 3):
    if not line.startswith('|'):
      return
    yield number, [cell.strip() for cell in line.strip('|').split('|')]


def row_faults(root, number, cells):
  tests = cells[-1]
  if 'the above' in tests:
    return
  named = _FILE.findall(tests)
  if not named:
    yield f'README.md:{number}: names no test'
  for file, names in named:
    path = pathlib.Path(root) / 'tests' / file
    if not path.is_file():
      yield f'README.md:{number}: there is no tests/{file}'
      continue
    known = cases(path.read_text())
    wanted = re.findall(r'"([^"]*)"', names)
    if not wanted:
      yield f'README.md:{number}: names no test of tests/{file}'
    for name in wanted:
      if name not in known:
        yield f'README.md:{number}: tests/{file} has no test "{name}"'


def check(root):
  """Returns (faults, number of rows)."""
  found = list(rows(tree.read(root, 'README.md')))
  faults = [] if found else ['README.md: has no table of promises']
  for number, cells in found:
    faults += row_faults(root, number, cells)
  return faults, len(found)


if __name__ == '__main__':
  sys.exit(tree.report('promises', *check(sys.argv[1])))
