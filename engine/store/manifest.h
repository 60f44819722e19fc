// The manifest file: loads what the store consists of, and makes changes to it durable.
//
// Not thread-safe, status() aside: the store serialises edits.
#ifndef LAMINA_ENGINE_STORE_MANIFEST_H_
#define LAMINA_ENGINE_STORE_MANIFEST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/latch.h"
#include "engine/base/status.h"
#include "engine/io/ballast.h"
#include "engine/io/file_system.h"
#include "engine/store/manifest_edit.h"
#include "tensorlog/log_dir.h"

namespace lamina {

inline constexpr char kCurrentFileName[] = "CURRENT";
std::string ManifestFileName(uint64_t number) noexcept;
bool ParseManifestFileName(std::string_view name, uint64_t* number) noexcept;

// What is on disk.
struct LoadedManifest {
  ManifestState state;
  StoreId store_id;
  uint64_t file_number = 0;
  uint64_t edits = 0;
  uint64_t ignored_tail_bytes = 0;  // of an append that was cut off
};

// Reads the manifest that CURRENT names. Errors as manifest_format.h says; kInvalidArgument when
// the directory has no CURRENT.
Result<LoadedManifest> LoadManifest(FileSystem& fs, const std::string& directory) noexcept;

class Manifest {
 public:
  // Writes a new manifest file whose first record is `state` (which gets the file's number from its
  // counter), makes it the current one, and removes older ones. Used when a store is created, at
  // every open for writing, and when the file has grown too large. `ballast`, which may be null, is
  // given up when a write lacks space, here and later; it outlives the manifest.
  static Result<std::unique_ptr<Manifest>> Start(FileSystem& fs, const std::string& directory,
                                                 const StoreId& store_id, ManifestState state,
                                                 Ballast* ballast = nullptr) noexcept;

  // Appends the edit, syncs it, and then applies it to state(). An error while status() stays Ok
  // (an edit that does not fit, kNoSpace) has changed nothing, on disk neither. Any other error
  // latches the manifest: what is on disk is not known, so every later call returns that error.
  Status Commit(const ManifestEdit& edit) noexcept;

  [[nodiscard]] const ManifestState& state() const noexcept { return state_; }
  [[nodiscard]] const StoreId& store_id() const noexcept { return store_id_; }
  [[nodiscard]] uint64_t file_number() const noexcept { return file_number_; }
  [[nodiscard]] uint64_t bytes() const noexcept { return offset_; }
  // Takes the next file number. Numbers that a crash forgets are used again by nobody: the files
  // they named are removed at the next open.
  uint64_t TakeFileNumber() noexcept { return state_.next_file_number++; }
  // Ok, or why there can be no further edits. Any thread, without waiting for an edit.
  [[nodiscard]] Status status() const noexcept { return latch_.status(); }

 private:
  Manifest(FileSystem& fs, std::string directory, const StoreId& store_id, ManifestState state,
           Ballast* ballast) noexcept;
  Status StartFile() noexcept;
  Status WriteFile(uint64_t number, std::unique_ptr<File>* file, uint64_t* bytes) noexcept;
  Status NameInTemporary(uint64_t number) noexcept;
  Status WriteRecord(const ManifestEdit& edit) noexcept;
  Status TakeBack(Status why) noexcept;
  Status Latched(Status why) noexcept;
  bool MakeRoom(const Status& failed) noexcept;

  FileSystem& fs_;
  const std::string directory_;
  const StoreId store_id_;
  ManifestState state_;
  Ballast* const ballast_;
  std::unique_ptr<File> file_;
  uint64_t file_number_ = 0;
  uint64_t offset_ = 0;
  uint64_t records_ = 0;
  uint64_t rewrite_at_;
  Latch latch_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_MANIFEST_H_
