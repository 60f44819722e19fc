// The hot pieces of a put and a restore below the index: hashing a path, checksumming a page, and
// the way of a request through a queue, beside the same read by one system call.
//
// Requests go to a file in the kernel's page cache, so that what is measured is the way there and
// back and not a device: a queue that costs more than the system call has nothing to hide it
// behind when the device is fast.
#include <benchmark/benchmark.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/keys.h"
#include "engine/io/posix_file_system.h"

namespace {

using lamina::AlignedBuffer;
using lamina::Digest;
using lamina::IoRequest;

constexpr size_t kBlockBytes = 4096;

// Digests of a path of pages of 512 tokens: what a path costs before the first lookup.
void HashPath(benchmark::State& state) {
  constexpr size_t kPageTokens = 512;
  const auto pages = static_cast<size_t>(state.range(0));
  std::vector<uint32_t> tokens(pages * kPageTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<uint32_t>(i * 2654435761u);
  lamina::Secret secret;
  for (size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<uint8_t>(i * 37);
  const auto bytes = std::as_bytes(std::span(tokens));
  for (auto _ : state) {
    Digest at = lamina::RootDigest(secret, lamina::PathKind::kTokens, kPageTokens, "model");
    for (size_t page = 0; page < pages; ++page) {
      at = lamina::ChildDigest(secret, at, lamina::PathKind::kTokens,
                               bytes.subspan(page * 4 * kPageTokens, 4 * kPageTokens));
    }
    benchmark::DoNotOptimize(at);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}

// Of a page in 32 pieces, as layers give it.
void ChecksumPage(benchmark::State& state) {
  constexpr size_t kPieces = 32;
  AlignedBuffer page(static_cast<size_t>(state.range(0)));
  std::vector<std::span<const std::byte>> pieces;
  const size_t piece = page.size() / kPieces;
  for (size_t i = 0; i < kPieces; ++i) pieces.push_back(page.span().subspan(i * piece, piece));
  uint64_t seed = 1;
  for (auto _ : state) benchmark::DoNotOptimize(lamina::ChecksumOf(++seed, pieces));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(page.size()));
}

// A file of 1 MiB, read through the page cache.
class CachedFile {
 public:
  explicit CachedFile(lamina::Options::Io io) {
    char name[] = "/tmp/lamina-io-micro-XXXXXX";
    directory_ = mkdtemp(name);
    auto made = lamina::PosixFileSystem::Create({.io = io});
    if (!made.ok()) return;
    file_system_ = std::move(*made);
    auto file = file_system_->Open(directory_ + "/file", {.write = true, .create = true});
    if (!file.ok()) return;
    const AlignedBuffer bytes(kBlocks * kBlockBytes);
    if (!(*file)->Write(0, bytes.span()).ok()) return;
    file_ = std::move(*file);
  }
  ~CachedFile() {
    file_.reset();
    if (file_system_ != nullptr) (void)file_system_->Remove(directory_ + "/file");
    rmdir(directory_.c_str());
  }
  static constexpr size_t kBlocks = 256;
  lamina::File* file() { return file_.get(); }
  lamina::PosixFileSystem& file_system() { return *file_system_; }

 private:
  std::string directory_;
  std::unique_ptr<lamina::PosixFileSystem> file_system_;
  std::unique_ptr<lamina::File> file_;  // none: io_uring is refused here
};

// So many blocks in flight at once, submitted together and waited for one by one.
void RoundTrip(benchmark::State& state, lamina::Options::Io io) {
  const auto depth = static_cast<size_t>(state.range(0));
  CachedFile cached(io);
  if (cached.file() == nullptr) return state.SkipWithError("this queue is refused here");
  auto queue = cached.file_system().NewQueue(depth);
  if (!queue.ok()) return state.SkipWithError("no queue");
  AlignedBuffer buffer(depth * kBlockBytes);
  std::vector<IoRequest> requests(depth);
  std::vector<iovec> vectors(depth);
  size_t block = 0;
  for (auto _ : state) {
    for (size_t i = 0; i < depth; ++i) {
      vectors[i] = {buffer.data() + i * kBlockBytes, kBlockBytes};
      requests[i] = {};
      requests[i].file = cached.file();
      requests[i].offset = block++ % CachedFile::kBlocks * kBlockBytes;
      requests[i].vectors = &vectors[i];
      requests[i].vector_count = 1;
      requests[i].bytes = kBlockBytes;
      (*queue)->Submit(&requests[i]);
    }
    while (const IoRequest* done = (*queue)->Wait())
      if (done->error != 0) state.SkipWithError("a read failed");
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void SystemCall(benchmark::State& state) {
  CachedFile cached(lamina::Options::Io::kThreads);
  if (cached.file() == nullptr) return state.SkipWithError("no file");
  AlignedBuffer buffer(kBlockBytes);
  size_t block = 0;
  for (auto _ : state) {
    const uint64_t offset = block++ % CachedFile::kBlocks * kBlockBytes;
    if (!cached.file()->Read(offset, buffer.span()).ok()) state.SkipWithError("a read failed");
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(HashPath)->Arg(1)->Arg(128);
BENCHMARK(ChecksumPage)->Arg(64 << 10)->Arg(1 << 20);
BENCHMARK(SystemCall);
BENCHMARK_CAPTURE(RoundTrip, uring, lamina::Options::Io::kUring)->Arg(1)->Arg(32);
BENCHMARK_CAPTURE(RoundTrip, threads, lamina::Options::Io::kThreads)->Arg(1)->Arg(32);

}  // namespace

BENCHMARK_MAIN();
