#!/usr/bin/env python3
"""Checks who includes whom: layering.py ROOT

  base <- io <- {index, tensorlog} <- compaction <- store

The tuner and the eviction policies are pure: they include base and themselves, and no header of
the operating system. engine/lamina.h and engine/lamina_c.h are visible to all. Tools, tests and
bench see only those two, except those listed in READERS below. Of what is not the project's, the
library uses liburing (in io alone), xxHash and the standard library.
"""

import pathlib
import re
import sys

import tree

PUBLIC = ('engine/lamina.h', 'engine/lamina_c.h')

# A layer is the longest of these that a path starts with; it sees itself and what is named here.
BASE, IO, INDEX, LOG = 'engine/base/', 'engine/io/', 'engine/index/', 'tensorlog/'
EVICTION, COMPACTION, TUNER, STORE = 'tensorlog/eviction', 'compaction/', 'tuner/', 'engine/store/'
SEES = {
    BASE: (),
    IO: (BASE,),
    INDEX: (BASE, IO),
    LOG: (BASE, IO, EVICTION),
    EVICTION: (BASE,),
    COMPACTION: (BASE, IO, INDEX, LOG, EVICTION),
    TUNER: (BASE,),
    STORE: (BASE, IO, INDEX, LOG, EVICTION, COMPACTION, TUNER),
}
PURE = (EVICTION, TUNER)
ALL = tuple(SEES)

# Outside of the library: these files may read the engine's insides. A unit test sees its own layer
# and what is below it.
READERS = {
    'tools/sst_dump': ALL,
    'tools/sst-dump': ALL,
    'tools/vlog_gc': ALL,
    'tools/vlog-gc': ALL,
    'bench/engine_hash': (LOG, IO, BASE),
    'bench/index_': ALL,
    'bench/io_': (IO, BASE),
    'bench/policy_': (EVICTION, BASE),
    'bench/tuner_': ALL,
    'bench/whatif': (TUNER, BASE),
    'tests/base/': (BASE,),
    'tests/io/': (IO, BASE),
    'tests/index/': (INDEX,) + SEES[INDEX],
    'tests/tensorlog/': (LOG,) + SEES[LOG],
    'tests/eviction/': (EVICTION, BASE, 'bench/'),
    'tests/bench/': (EVICTION, BASE, 'bench/'),
    'tests/compaction/': (COMPACTION,) + SEES[COMPACTION],
    'tests/tuner/': (TUNER,) + SEES[TUNER],
    'tests/crash/': ALL,
    'tests/fuzz/': ALL,
    'tests/mutations/': ALL,
    'tests/simulation/': ALL,
    'tests/store/': ALL,
    'tests/tools/': ALL + ('tools/',),
}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)


def longest_prefix(path, prefixes):
  matching = [prefix for prefix in prefixes if path.startswith(prefix)]
  return max(matching, key=len, default=None)


def visible_from(path):
  """The prefixes that `path` may include, besides the public headers."""
  if tree.in_library(path):
    layer = longest_prefix(path, SEES)
    return () if layer is None else (layer,) + SEES[layer]
  own = path.split('/')[0] + '/'
  reader = longest_prefix(path, READERS)
  return (own,) + (READERS[reader] if reader else ())


def quoted_fault(root, path, target):
  if not (pathlib.Path(root) / target).is_file():
    return 'names no file of the project (paths start at its root)'
  if target in PUBLIC:
    return None
  # Where `target` itself belongs decides, so that what is visible of tensorlog/ is not its policies.
  layer = longest_prefix(target, SEES) if tree.in_library(target) else target.split('/')[0] + '/'
  if layer in visible_from(path):
    return None
  return 'is not below it; it may include ' + ', '.join(PUBLIC + visible_from(path))


def system_fault(path, target):
  if not tree.in_library(path):
    return None
  if target == 'liburing.h' and not path.startswith(IO):
    return f'belongs to {IO} alone'
  if '/' in target and not target.startswith(('sys/', 'linux/')):
    return 'is of a library that the engine does not use'
  if longest_prefix(path, SEES) in PURE and target.endswith('.h') and target != 'xxhash.h':
    return 'is not for pure code, which takes and returns plain values'
  return None


def check(root):
  """Returns (faults, number of files read)."""
  faults = []
  files = tree.source_files(root, ('.h', '.cc', '.c'))
  for path in files:
    text = tree.without_comments(tree.read(root, path))
    for match in _INCLUDE.finditer(text):
      quote, target = match.groups()
      fault = quoted_fault(root, path, target) if quote == '"' else system_fault(path, target)
      if fault:
        line = text.count('\n', 0, match.start(1)) + 1
        faults.append(f'{path}:{line}: {target} {fault}')
  return faults, len(files)


if __name__ == '__main__':
  sys.exit(tree.report('layering', *check(sys.argv[1])))
