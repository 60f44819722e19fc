// What the tests of this folder share: a directory that goes away, backends, requests, bytes.
#ifndef LAMINA_TESTS_IO_IO_TEST_UTIL_H_
#define LAMINA_TESTS_IO_IO_TEST_UTIL_H_

#include <sys/uio.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "engine/io/io_queue.h"
#include "engine/io/posix_file_system.h"

namespace lamina {

// A fresh directory under $TMPDIR or /tmp, removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* const base = std::getenv("TMPDIR");
    std::string name = std::string(base != nullptr ? base : "/tmp") + "/lamina-io-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::unique_ptr<PosixFileSystem> MakeFileSystem(Options::Io io, uint32_t threads = 4) {
  auto result = PosixFileSystem::Create({.io = io, .io_threads = threads});
  if (!result.ok()) std::abort();
  return std::move(*result);
}

// Whether this machine lets us have io_uring at all.
inline bool HaveUring() { return PosixFileSystem::Create({.io = Options::Io::kUring}).ok(); }

// The backends that can run here.
inline std::vector<Options::Io> Backends() {
  std::vector<Options::Io> backends = {Options::Io::kThreads};
  if (HaveUring()) backends.push_back(Options::Io::kUring);
  return backends;
}

// A request with the vectors it points to.
struct OwnedRequest {
  OwnedRequest(File* file, bool write, uint64_t offset, std::vector<iovec> pieces)
      : vectors(std::move(pieces)) {
    request.file = file;
    request.write = write;
    request.offset = offset;
    request.vectors = vectors.data();
    request.vector_count = static_cast<uint32_t>(vectors.size());
    for (const iovec& vector : vectors) request.bytes += vector.iov_len;
    request.user = this;
  }
  OwnedRequest(File* file, bool write, uint64_t offset, std::span<std::byte> memory)
      : OwnedRequest(file, write, offset, {iovec{memory.data(), memory.size()}}) {}
  OwnedRequest(const OwnedRequest&) = delete;
  OwnedRequest& operator=(const OwnedRequest&) = delete;

  std::vector<iovec> vectors;
  IoRequest request;
};

inline std::vector<std::byte> RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

}  // namespace lamina

#endif  // LAMINA_TESTS_IO_IO_TEST_UTIL_H_
