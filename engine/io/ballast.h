// A file that holds space for the moment when there is none.
//
// A full disk must not end a store: what makes it whole again (a checkpoint, the removal of old
// files) has to be written first. So a store keeps a file of blocks that it does not need. When a
// write of its metadata lacks space, the file is given up and the write is made again, which the
// writer knows to be safe; when there is room, the file is made again.
#ifndef LAMINA_ENGINE_IO_BALLAST_H_
#define LAMINA_ENGINE_IO_BALLAST_H_

#include <cstdint>
#include <mutex>
#include <string>

#include "engine/base/status.h"
#include "engine/io/file_system.h"

namespace lamina {

inline constexpr char kBallastFileName[] = "BALLAST";
inline constexpr uint64_t kBallastBytes = uint64_t{1} << 20;

// Thread-safe. The file system outlives it.
class Ballast {
 public:
  // `directory` exists; the file of `bytes` is made or found by Make. `min_free_bytes` are left to
  // others.
  Ballast(FileSystem& fs, const std::string& directory, uint64_t bytes,
          uint64_t min_free_bytes) noexcept;

  // Makes the file unless it is there with all its blocks. kNoSpace when the disk has no room for
  // it beyond min_free_bytes; nothing is left behind then.
  Status Make() noexcept;
  // Gives the blocks back. True when there were any: what lacked space may be tried again.
  bool GiveUp() noexcept;

  // Whether the space is held.
  [[nodiscard]] bool held() const noexcept;
  // How often it was given up.
  [[nodiscard]] uint64_t uses() const noexcept;

 private:
  Status MakeFile() noexcept;

  FileSystem& fs_;
  const std::string directory_;
  const std::string path_;
  const uint64_t bytes_;
  const uint64_t min_free_bytes_;
  mutable std::mutex mutex_;
  bool held_ = false;
  uint64_t uses_ = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_BALLAST_H_
