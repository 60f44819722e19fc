// The `file` engine: one file per page in two levels of hashed directories, each written to a
// temporary file and renamed, with buffered I/O and without fsync, as serving engines keep pages on
// local disks today. Pages of a batch are shared among a pool of workers.
//
// A page is there when its file is; a probe is a stat per page that stops at the first missing one.
// A file of another length than a page counts as missing and is replaced by the next put.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>

#include "bench/directory.h"
#include "bench/engine.h"
#include "bench/file_io.h"
#include "bench/worker_pool.h"

namespace lamina::bench {
namespace {

// Marks a directory as ours, so that files are never strewn over somebody else's.
constexpr char kMarker[] = "PAGE_FILES";
constexpr char kTemporary[] = ".tmp";

// These return 0 or an errno; ENODATA where a file is shorter than a page.

int ReadFile(const std::string& path, std::vector<iovec> pieces) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return errno;
  return ReadPieces(file.get(), 0, std::move(pieces));
}

int WriteFile(const std::string& path, std::vector<iovec> pieces) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.get() < 0) return errno;
  const int error = WritePieces(file.get(), 0, std::move(pieces));
  if (error != 0) return error;
  return file.Close() ? 0 : errno;
}

bool IsMiss(int error) { return error == ENOENT || error == ENODATA; }
bool IsRejection(int error) { return error == ENOSPC || error == EDQUOT; }

class FileEngine final : public Engine {
 public:
  explicit FileEngine(const EngineConfig& config)
      : dir_(config.dir),
        page_bytes_(config.page_bytes),
        fragments_(config.fragments),
        workers_(config.file_workers) {}

  // Makes the directories, 256 of them.
  Status Prepare();

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override;

  Status Flush() override { return SyncFileSystem(dir_); }

  [[nodiscard]] std::string PathOf(const PageName& name) const {
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "/%x/%x/%016lx%016lx",
                  static_cast<unsigned>(name.high >> 60),
                  static_cast<unsigned>(name.high >> 56 & 15), name.high, name.low);
    return dir_ + text.data();
  }

  // The length of the page's file is a page's.
  [[nodiscard]] bool Exists(const std::string& path) const {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 && info.st_size == static_cast<off_t>(page_bytes_);
  }

  // Of the page at `index` among those of `fragments`.
  [[nodiscard]] std::vector<iovec> PagePieces(std::span<std::byte* const> fragments,
                                              size_t index) const {
    return PiecesOf(fragments.subspan(index * fragments_, fragments_), page_bytes_ / fragments_);
  }

  int PutPage(const PageName& name, std::vector<iovec> pieces) {
    const std::string path = PathOf(name);
    if (Exists(path)) return 0;
    // Numbered, so that two puts of one page at the same time do not write into one file.
    const std::string temporary = path + kTemporary + std::to_string(temporaries_.fetch_add(1));
    int error = WriteFile(temporary, std::move(pieces));
    if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
    if (error != 0) unlink(temporary.c_str());
    return error;
  }

  const std::string dir_;
  const size_t page_bytes_;
  const size_t fragments_;
  WorkerPool workers_;

 private:
  std::atomic<uint64_t> temporaries_{0};
};

class FileRequest final : public EngineRequest {
 public:
  FileRequest(FileEngine* engine, std::span<const PageName> names)
      : engine_(*engine), names_(names) {}

  Result<size_t> Probe() override {
    size_t leading = 0;
    while (leading < names_.size() && engine_.Exists(engine_.PathOf(names_[leading]))) ++leading;
    return leading;
  }

  Result<size_t> Get(size_t first_page, std::span<std::byte* const> fragments) override {
    const auto read = [&](size_t i) {
      return ReadFile(engine_.PathOf(names_[first_page + i]), engine_.PagePieces(fragments, i));
    };
    return ForEachPage(first_page, fragments.size() / engine_.fragments_, read, IsMiss, "read");
  }

  Result<size_t> Put(size_t first_page, std::span<std::byte* const> fragments) override {
    const auto write = [&](size_t i) {
      return engine_.PutPage(names_[first_page + i], engine_.PagePieces(fragments, i));
    };
    return ForEachPage(first_page, fragments.size() / engine_.fragments_, write, IsRejection,
                       "write");
  }

  void DropPageCache(size_t page_count) override {
    for (size_t i = 0; i < page_count; ++i) DropFromPageCache(engine_.PathOf(names_[i]));
  }

 private:
  // Does `work` for each page and counts the leading pages that are done. An error that is not
  // `expected` ends the call.
  Result<size_t> ForEachPage(size_t first_page, size_t count,
                             const std::function<int(size_t)>& work, bool (*expected)(int),
                             const char* what) {
    std::vector<int> errors(count);
    engine_.workers_.ForEach(count, [&](size_t i) { errors[i] = work(i); });
    size_t leading = 0;
    while (leading < count && errors[leading] == 0) ++leading;
    for (size_t i = leading; i < count; ++i) {
      if (errors[i] == 0 || expected(errors[i])) continue;
      return Status::IoError(std::string("cannot ") + what + " " +
                             engine_.PathOf(names_[first_page + i]) + ": " +
                             std::strerror(errors[i]));
    }
    return leading;
  }

  FileEngine& engine_;
  const std::span<const PageName> names_;
};

std::unique_ptr<EngineRequest> FileEngine::Begin(std::span<const PageName> names) {
  return std::make_unique<FileRequest>(this, names);
}

Status FileEngine::Prepare() {
  const auto fail = [](const std::string& path) {
    return Status::IoError("cannot create " + path + ": " + std::strerror(errno));
  };
  for (unsigned i = 0; i < 256; ++i) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "/%x", i >> 4);
    std::string path = dir_ + text.data();
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail(path);
    std::snprintf(text.data(), text.size(), "/%x", i & 15);
    path += text.data();
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return fail(path);
  }
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<Engine>> OpenFileEngine(const EngineConfig& config) {
  Status status = ClaimDirectory(config.dir, kMarker);
  if (!status.ok()) return status;
  auto engine = std::make_unique<FileEngine>(config);
  status = engine->Prepare();
  if (!status.ok()) return status;
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace lamina::bench
