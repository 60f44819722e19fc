#include "tools/sst_dump_read_only.h"

namespace lamina::sst_dump {
namespace {

Status Refuse(const std::string& what) {
  return Status::NotSupported("refused to " + what + ": this tool changes nothing");
}

}  // namespace

Result<std::unique_ptr<File>> ReadOnlyFileSystem::Open(const std::string& path,
                                                       const FileOpen& how) noexcept {
  if (how.write || how.create || how.truncate || how.exclusive) return Refuse("write " + path);
  return base_.Open(path, how);
}

Status ReadOnlyFileSystem::MakeDirectory(const std::string& path) noexcept {
  return Refuse("make " + path);
}

Status ReadOnlyFileSystem::Rename(const std::string& from, const std::string&) noexcept {
  return Refuse("rename " + from);
}

Status ReadOnlyFileSystem::Remove(const std::string& path) noexcept {
  return Refuse("remove " + path);
}

Status ReadOnlyFileSystem::SyncDirectory(const std::string& path) noexcept {
  return Refuse("sync " + path);
}

Result<std::unique_ptr<FileLock>> ReadOnlyFileSystem::Lock(const std::string& path) noexcept {
  return Refuse("lock " + path);
}

Result<std::unique_ptr<IoQueue>> ReadOnlyFileSystem::NewQueue(size_t) noexcept {
  return Refuse("make a queue");
}

Result<std::unique_ptr<File>> SingleFileView::Open(const std::string&,
                                                   const FileOpen& how) noexcept {
  return ReadOnlyFileSystem::Open(path_, how);
}

}  // namespace lamina::sst_dump
