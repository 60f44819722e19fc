#include "engine/io/ballast.h"

namespace lamina {

Ballast::Ballast(FileSystem& fs, const std::string& directory, uint64_t bytes,
                 uint64_t min_free_bytes) noexcept
    : fs_(fs),
      directory_(directory),
      path_(directory + "/" + kBallastFileName),
      bytes_(bytes),
      min_free_bytes_(min_free_bytes) {}

Status Ballast::Make() noexcept {
  const std::lock_guard lock(mutex_);
  if (held_) return Status::Ok();
  Status status = MakeFile();
  held_ = status.ok();
  return status;
}

Status Ballast::MakeFile() noexcept {
  uint64_t missing = bytes_;
  // One of an earlier process, whole or not.
  LAMINA_ASSIGN_OR_RETURN(const bool exists, fs_.Exists(path_));
  if (exists) {
    LAMINA_ASSIGN_OR_RETURN(const uint64_t allocated, fs_.AllocatedBytes(path_));
    if (allocated >= bytes_) return Status::Ok();
    missing -= allocated;
  }
  LAMINA_ASSIGN_OR_RETURN(const SpaceInfo space, fs_.Space(directory_));
  if (space.free_bytes < min_free_bytes_ || space.free_bytes - min_free_bytes_ < missing) {
    return Status::NoSpace(path_ + ": there is no room to spare for it");
  }
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          fs_.Open(path_, {.write = true, .create = true}));
  Status status = file->Allocate(bytes_);
  // A part of it would be taken for the whole.
  if (!status.ok()) (void)fs_.Remove(path_);
  return status;
}

bool Ballast::GiveUp() noexcept {
  const std::lock_guard lock(mutex_);
  if (!held_) return false;
  // Where it cannot be removed there is nothing to be had from it either.
  held_ = false;
  if (!fs_.Remove(path_).ok()) return false;
  ++uses_;
  return true;
}

bool Ballast::held() const noexcept {
  const std::lock_guard lock(mutex_);
  return held_;
}

uint64_t Ballast::uses() const noexcept {
  const std::lock_guard lock(mutex_);
  return uses_;
}

}  // namespace lamina
