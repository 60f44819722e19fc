// The directories that benches work in.
#ifndef LAMINA_BENCH_DIRECTORY_H_
#define LAMINA_BENCH_DIRECTORY_H_

#include <cstdint>
#include <string>

#include "engine/lamina.h"

namespace lamina::bench {

// Makes `dir` (and what is above it) unless it is there. Errors: it is not a directory.
Status MakeDirectory(const std::string& dir);

// Makes `dir` ours: an empty directory gets a file named `marker`; one that has it is ours already;
// anything else is refused, so that a bench never writes among somebody else's files.
Status ClaimDirectory(const std::string& dir, const std::string& marker);

Result<bool> IsEmptyDirectory(const std::string& dir);

// kInvalidArgument unless it is: for an engine that keeps its map in memory.
Status RequireEmptyDirectory(const std::string& engine, const std::string& dir);

// The directory that a program works in: one that was named, which stays, or a new one,
// `./lamina-replay-XXXXXX`, which is removed with all it holds at the end of the workspace's life.
class Workspace {
 public:
  // An empty `dir` asks for a new one; `keep` leaves that, too, and says on stderr where it is.
  // Says on stderr when the directory is in memory, since that measures no disk.
  static Result<Workspace> Prepare(const std::string& dir, bool keep);
  // A new one in `parent`, which is made if need be and stays: `parent/PROGRAM-XXXXXX`, removed at
  // the end. Says on stderr, as `program`, when it is in memory.
  static Result<Workspace> PrepareIn(const std::string& parent, const std::string& program);
  Workspace(Workspace&& other) noexcept;
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  Workspace(std::string path, bool remove) noexcept : path_(std::move(path)), remove_(remove) {}
  std::string path_;
  bool remove_;
};

// Removes a directory with all it holds, many files at a time.
void RemoveTree(const std::string& dir);
// Everything written to the file system of `dir` so far is on the device.
Status SyncFileSystem(const std::string& dir);
// Bytes that the file system has allocated for everything below `dir`, as `du` counts them. A file
// that goes away meanwhile is not counted. 0 when `dir` is not there.
uint64_t DiskBytes(const std::string& dir);
// What an unprivileged process may still write on the file system of `dir`.
Result<uint64_t> FreeBytes(const std::string& dir);
// tmpfs or ramfs: what is measured there is memory.
bool IsMemoryFileSystem(const std::string& dir);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_DIRECTORY_H_
