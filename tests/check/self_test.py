#!/usr/bin/env python3
"""Checks the checks: each must pass a clean tree and name a fault that is put into it."""

import pathlib
import sys
import tempfile

import hygiene
import layering

GUARD = '#ifndef LAMINA_{0}_H_\n#define LAMINA_{0}_H_\n#endif\n'
CLEAN = {
    'engine/lamina.h': GUARD.format('LAMINA'),
    'engine/base/a.h': GUARD.format('ENGINE_BASE_A'),
    'engine/base/a.cc': '#include "engine/base/a.h"\n#include <xxhash.h>\n#include <vector>\n',
    'engine/base/meson.build': "files('a.cc')",
    'engine/io/b.h': GUARD.format('ENGINE_IO_B'),
    'engine/index/c.h': GUARD.format('ENGINE_INDEX_C'),
    'engine/store/d.h': GUARD.format('ENGINE_STORE_D'),
    'tensorlog/e.h': GUARD.format('TENSORLOG_E'),
    'tensorlog/eviction/f.h': GUARD.format('TENSORLOG_EVICTION_F'),
    'tests/base/g.cc': '#include "engine/base/a.h"\n// sleep_for(it) and throw "words"\n',
    'tests/meson.build': "files('base/g.cc')",
    'bench/index_h.h': '#ifndef LAMINA_BENCH_INDEX_H_H_\n#define LAMINA_BENCH_INDEX_H_H_\n'
                       '#include "engine/index/c.h"\n#endif\n',
}

# (file, text added to it, what the fault must say)
LAYERING_FAULTS = [
    ('engine/base/a.cc', '#include "engine/io/b.h"\n', 'engine/base/a.cc:4: engine/io/b.h'),
    ('engine/base/a.cc', '#  include  "tensorlog/e.h"\n', 'tensorlog/e.h'),
    ('engine/io/b.h', '#include "engine/index/c.h"\n', 'engine/index/c.h'),
    ('engine/index/c.h', '#include "tensorlog/e.h"\n', 'tensorlog/e.h'),
    ('engine/index/c.h', '#include "engine/store/d.h"\n', 'engine/store/d.h'),
    ('tensorlog/eviction/f.h', '#include "tensorlog/e.h"\n', 'tensorlog/e.h'),
    ('tensorlog/eviction/f.h', '#include <unistd.h>\n', 'pure'),
    ('tuner/t.h', '#include "engine/io/b.h"\n', 'engine/io/b.h'),
    ('tests/base/g.cc', '#include "engine/index/c.h"\n', 'engine/index/c.h'),
    ('tests/model/m.cc', '#include "engine/base/a.h"\n', 'engine/base/a.h'),
    ('tools/t.cc', '#include "engine/index/c.h"\n', 'engine/index/c.h'),
    ('bench/t.cc', '#include "engine/store/d.h"\n', 'engine/store/d.h'),
    ('bench/policy_t.cc', '#include "tensorlog/e.h"\n', 'tensorlog/e.h'),
    ('engine/base/a.cc', '#include "a.h"\n', 'names no file'),
    ('engine/base/a.cc', '#include <fmt/format.h>\n', 'does not use'),
    ('engine/base/a.cc', '#include <liburing.h>\n', 'alone'),
]
HYGIENE_FAULTS = [
    ('engine/io/new.h', '#pragma once\n', 'LAMINA_ENGINE_IO_NEW_H_'),
    ('engine/io/b.h', '#include <vector>\n', 'LAMINA_ENGINE_IO_B_H_'),
    ('engine/base/a.cc', '\n' * 600, '603 lines'),
    ('engine/base/a.cc', 'void F() { throw 1; }\n', 'engine/base/a.cc:4: throw'),
    ('tests/base/g.cc', 'std::this_thread::sleep_for(ms);\n', 'tests/base/g.cc:3: sleep_for'),
    ('engine/base/dead.cc', '', 'engine/base/dead.cc: is in no meson.build'),
]


def faults_of(check, files):
  with tempfile.TemporaryDirectory(prefix='lamina-check-') as root:
    for path, text in files.items():
      file = pathlib.Path(root) / path
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(text, encoding='utf-8')
    return check(root)[0]


def main():
  failures = 0
  for name, check, injected in (('layering', layering.check, LAYERING_FAULTS),
                                ('hygiene', hygiene.check, HYGIENE_FAULTS)):
    clean = faults_of(check, CLEAN)
    if clean:
      failures += 1
      print(f'{name}: finds faults in a clean tree: {clean}')
    for path, added, expected in injected:
      faults = faults_of(check, {**CLEAN, path: CLEAN.get(path, '') + added})
      if len(faults) != 1 or expected not in faults[0]:
        failures += 1
        print(f'{name}: {added.strip()[:60]!r} in {path} should give one fault with '
              f'{expected!r}, gives {faults}')
  print(f'{len(LAYERING_FAULTS) + len(HYGIENE_FAULTS)} injected faults, {failures} failures')
  return 1 if failures else 0


if __name__ == '__main__':
  sys.exit(main())
