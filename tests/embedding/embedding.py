#!/usr/bin/env python3
"""Embeds Lamina as others do, and runs what comes out: embedding.py CASE SOURCE BUILD VERSION

The library is installed into a fresh prefix first. The C++ program is the README's example,
extracted from README.md, and must print what the README says. CXX and CC in the environment name
the compilers.
"""

import collections
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'check'))
import tree  # pylint: disable=wrong-import-position

CXX = shlex.split(os.environ.get('CXX', 'c++'))
CC = shlex.split(os.environ.get('CC', 'cc'))
CXX_FLAGS = ['-std=c++20', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Wshadow', '-Werror']
C_FLAGS = ['-std=c11', '-Wall', '-Wextra', '-pedantic', '-Werror']
# What a consumer of the archive has to add to it, by hand.
ARCHIVE_NEEDS = ['-luring', '-lxxhash', '-lpthread']
# Library code for tests alone: the simulated disk.
NOT_SHIPPED = 'engine/io/simulated_'


class Embedding:
  """One case: where things are, and a fresh directory to work in."""

  def __init__(self, source, build, version, work):
    self.source = pathlib.Path(source)
    self.build = pathlib.Path(build)
    self.version = version
    self.work = pathlib.Path(work)

  # ---- Steps

  def run(self, *command, **options):
    command = [str(word) for word in command]
    print('+', shlex.join(command), flush=True)
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            check=False, **options)
    if result.returncode != 0:
      sys.exit(f'{result.stdout}exit status {result.returncode}')
    return result.stdout

  def expect_output(self, program, expected):
    with tempfile.TemporaryDirectory(dir=self.work) as parent:
      output = self.run(program, pathlib.Path(parent) / 'store')
    if output != expected:
      sys.exit(f'{program} printed {output!r}, not {expected!r}')

  def readme_block(self, language):
    """The first fenced block of this language in the README."""
    readme = (self.source / 'README.md').read_text(encoding='utf-8')
    match = re.search(rf'^```{language}\n(.*?)^```$', readme, re.DOTALL | re.MULTILINE)
    if match is None:
      sys.exit(f'README.md has no ```{language} block')
    return match.group(1)

  def example(self):
    path = self.work / 'example.cc'
    path.write_text(self.readme_block('cpp'), encoding='utf-8')
    return path

  def install(self):
    """Installs into work/root and returns the directory of lamina.pc."""
    root = self.work / 'root'
    self.run('meson', 'install', '-C', self.build, '--no-rebuild', '--quiet', '--destdir', root)
    for header in ('lamina.h', 'lamina_c.h'):
      if not list(root.rglob(f'include/lamina/{header}')):
        sys.exit(f'lamina/{header} was not installed')
    files = list(root.rglob('lamina.pc'))
    if len(files) != 1:
      sys.exit(f'lamina.pc was not installed once: {files}')
    return files[0].parent

  def pkg_config(self, directory, *arguments):
    environment = dict(os.environ, PKG_CONFIG_PATH=str(directory),
                       PKG_CONFIG_SYSROOT_DIR=str(self.work / 'root'))
    return shlex.split(self.run('pkg-config', *arguments, 'lamina', env=environment))

  # ---- Cases

  def pkg_config_cpp(self):
    directory = self.install()
    version = self.pkg_config(directory, '--modversion')
    if version != [self.version]:
      sys.exit(f'lamina.pc says version {version}, the project is {self.version}')
    example = self.example()
    for number, mode in enumerate((['--libs'], ['--static', '--libs'])):
      program = self.work / f'example-{number}'
      flags = self.pkg_config(directory, '--cflags', *mode)
      self.run(*CXX, *CXX_FLAGS, example, '-o', program, *flags)
      self.expect_output(program, self.readme_block('text'))

  def c(self):
    directory = self.install()
    consumer = self.source / 'tests/embedding/consumer.c'
    include = self.pkg_config(directory, '--cflags')
    library_dir = self.pkg_config(directory, '--variable=libdir')[0]
    if not library_dir.startswith(str(self.work)):
      library_dir = f'{self.work}/root{library_dir}'
    shared = [f'-L{library_dir}', f'-Wl,-rpath,{library_dir}', '-llamina']
    expected = f'lamina {self.version}\npages 2\nstored 2\nfound 2\nrestored 2\nsubmitted 2\n'
    for name, libs in (('static', self.pkg_config(directory, '--libs')), ('shared', shared)):
      program = self.work / f'consumer-{name}'
      self.run(*CC, *C_FLAGS, *include, consumer, '-o', program, *libs)
      self.expect_output(program, expected)

  def flag(self, flag):
    """The example, compiled with `flag` and linked by hand: the archive and three libraries."""
    directory = self.install()
    program = self.work / 'example'
    self.run(*CXX, *CXX_FLAGS, flag, self.example(), '-o', program,
             *self.pkg_config(directory, '--cflags'), self.build / 'liblamina.a', *ARCHIVE_NEEDS)
    self.expect_output(program, self.readme_block('text'))

  def archive(self):
    """The archive has every object of the library, and all of them link with three libraries."""
    expected = collections.Counter(
        pathlib.PurePath(path).name + '.o'
        for path in tree.source_files(self.source, ('.cc', '.c'))
        if tree.in_library(path) and not path.startswith(NOT_SHIPPED))
    objects = collections.Counter(self.run('ar', 't', self.build / 'liblamina.a').split())
    if objects != expected:
      sys.exit(f'liblamina.a lacks {list(expected - objects)} and should not have '
               f'{list(objects - expected)}')
    program = self.work / 'all.cc'
    program.write_text('int main() {}\n', encoding='utf-8')
    self.run(*CXX, program, '-o', self.work / 'all', '-Wl,--whole-archive',
             self.build / 'liblamina.a', '-Wl,--no-whole-archive', *ARCHIVE_NEEDS)

  def symbols(self):
    """The shared library exports what lamina_c.h declares, all of it and nothing else."""
    header = tree.code_only(tree.read(self.source, 'engine/lamina_c.h'))
    declared = set(re.findall(r'\b(lamina_\w+)\s*\(', header))
    lines = self.run('nm', '-D', '--defined-only', self.build / 'liblamina.so').splitlines()
    exported = {line.split()[-1] for line in lines}
    if not declared or exported != declared:
      sys.exit(f'exported but not declared: {sorted(exported - declared)}; '
               f'declared but not exported: {sorted(declared - exported)}')
    if 'Library soname: [liblamina.so.0]' not in self.run(
        'readelf', '-d', self.build / 'liblamina.so'):
      sys.exit('liblamina.so does not have the soname liblamina.so.0')

  def subproject(self):
    """Kept in the build directory, so that only the first run compiles the whole library."""
    project = self.build / 'tests/embedding/embedder'
    (project / 'subprojects').mkdir(parents=True, exist_ok=True)
    link = project / 'subprojects/lamina'
    if not link.is_symlink():
      link.symlink_to(self.source, target_is_directory=True)
    for file in (self.source / 'tests/embedding/subproject/meson.build', self.example()):
      copy = project / file.name
      if not copy.exists() or copy.read_bytes() != file.read_bytes():
        shutil.copyfile(file, copy)
    build = project / 'build'
    if not (build / 'build.ninja').exists():
      self.run('meson', 'setup', build, project, '-Doptimization=0', '-Ddebug=false')
    self.run('ninja', '-C', build, 'example')
    self.expect_output(build / 'example', self.readme_block('text'))


def main():
  case, source, build, version = sys.argv[1:]
  os.environ.pop('LD_LIBRARY_PATH', None)  # it would find the library that is not installed
  with tempfile.TemporaryDirectory(prefix='lamina-embedding-') as work:
    embedding = Embedding(source, build, version, work)
    cases = {
        'C++ by pkg-config': embedding.pkg_config_cpp,
        'C': embedding.c,
        'without exceptions': lambda: embedding.flag('-fno-exceptions'),
        'without RTTI': lambda: embedding.flag('-fno-rtti'),
        'archive': embedding.archive,
        'symbols': embedding.symbols,
        'Meson subproject': embedding.subproject,
    }
    cases[case]()
  print(f'{case}: ok')


if __name__ == '__main__':
  main()
