#include "engine/io/transfer.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/io/io_test_util.h"

namespace lamina {
namespace {

// A file that only says how it is aligned.
class AlignedOnly final : public File {
 public:
  explicit AlignedOnly(Alignment alignment, bool direct) : alignment_(alignment), direct_(direct) {}
  Status Read(uint64_t, std::span<std::byte>) noexcept override { return Status::Ok(); }
  Status Write(uint64_t, std::span<const std::byte>) noexcept override { return Status::Ok(); }
  Status Sync() noexcept override { return Status::Ok(); }
  Status Allocate(uint64_t) noexcept override { return Status::Ok(); }
  Status PunchHole(uint64_t, uint64_t) noexcept override { return Status::Ok(); }
  Status Truncate(uint64_t) noexcept override { return Status::Ok(); }
  Result<uint64_t> Size() noexcept override { return uint64_t{0}; }
  [[nodiscard]] Alignment alignment() const noexcept override { return alignment_; }
  [[nodiscard]] bool direct() const noexcept override { return direct_; }
  [[nodiscard]] const std::string& path() const noexcept override { return path_; }
  [[nodiscard]] int fd() const noexcept override { return -1; }

 private:
  const Alignment alignment_;
  const bool direct_;
  const std::string path_ = "file";
};

std::vector<iovec> Pieces(std::byte* memory, std::vector<size_t> sizes) {
  std::vector<iovec> pieces;
  for (const size_t size : sizes) {
    pieces.push_back({memory, size});
    memory += size;
  }
  return pieces;
}

// The next attempt's first address, as an offset into the memory.
size_t MemoryAt(const Transfer& transfer, const std::byte* memory) {
  return static_cast<size_t>(static_cast<const std::byte*>(transfer.vectors()[0].iov_base) -
                             memory);
}

TEST_CASE("a short transfer goes on with pointer and offset advanced together") {
  AlignedOnly file({}, false);
  std::vector<std::byte> memory(300);
  OwnedRequest owned(&file, /*write=*/true, 1000, Pieces(memory.data(), {100, 100, 100}));
  Transfer transfer;
  transfer.Begin(&owned.request);
  CHECK(transfer.offset() == 1000);

  CHECK(transfer.Complete(130) == Transfer::Next::kAgain);
  CHECK(transfer.offset() == 1130);
  CHECK(transfer.vector_count() == 2);
  CHECK(MemoryAt(transfer, memory.data()) == 130);
  CHECK(transfer.vectors()[0].iov_len == 70);

  CHECK(transfer.Complete(70) == Transfer::Next::kAgain);
  CHECK(transfer.offset() == 1200);
  CHECK(transfer.vector_count() == 1);
  CHECK(MemoryAt(transfer, memory.data()) == 200);

  CHECK(transfer.Complete(100) == Transfer::Next::kDone);
  CHECK(owned.request.error == 0);
  CHECK(owned.request.transferred == 300);
}

TEST_CASE("a short transfer of a direct file goes back to the last aligned place") {
  AlignedOnly file({.memory = 512, .offset = 4096}, true);
  std::vector<std::byte> memory(32768);
  OwnedRequest owned(&file, /*write=*/false, 8192, Pieces(memory.data(), {16384, 16384}));
  Transfer transfer;
  transfer.Begin(&owned.request);
  CHECK(transfer.Complete(16384 + 4096 + 512) == Transfer::Next::kAgain);
  CHECK(transfer.offset() == 8192 + 16384 + 4096);
  CHECK(MemoryAt(transfer, memory.data()) == 16384 + 4096);
  CHECK(transfer.vectors()[0].iov_len == 16384 - 4096);
  CHECK(transfer.Complete(16384 - 4096) == Transfer::Next::kDone);
  CHECK(owned.request.error == 0);
}

TEST_CASE("a direct file's memory alignment counts as well as its offset alignment") {
  AlignedOnly file({.memory = 4096, .offset = 512}, true);
  std::vector<std::byte> memory(16384);
  OwnedRequest owned(&file, /*write=*/false, 512, memory);
  Transfer transfer;
  transfer.Begin(&owned.request);
  CHECK(transfer.Complete(4096 + 512) == Transfer::Next::kAgain);
  CHECK(MemoryAt(transfer, memory.data()) == 4096);
  CHECK(transfer.offset() == 512 + 4096);
}

TEST_CASE("a read that gets nothing has met the end of the file") {
  AlignedOnly file({}, false);
  std::vector<std::byte> memory(100);
  OwnedRequest owned(&file, /*write=*/false, 0, memory);
  Transfer transfer;
  transfer.Begin(&owned.request);
  CHECK(transfer.Complete(60) == Transfer::Next::kAgain);
  CHECK(transfer.Complete(0) == Transfer::Next::kDone);
  CHECK(owned.request.error == IoRequest::kEndOfFile);
  CHECK(owned.request.transferred == 60);
}

TEST_CASE("a direct read that ends inside a sector twice has met the end of the file") {
  AlignedOnly file({.memory = 512, .offset = 512}, true);
  std::vector<std::byte> memory(4096);
  OwnedRequest owned(&file, /*write=*/false, 0, memory);
  Transfer transfer;
  transfer.Begin(&owned.request);
  CHECK(transfer.Complete(1000) == Transfer::Next::kAgain);
  CHECK(transfer.offset() == 512);
  CHECK(transfer.Complete(488) == Transfer::Next::kDone);
  CHECK(owned.request.error == IoRequest::kEndOfFile);
  CHECK(owned.request.transferred == 1000);
}

TEST_CASE("a write that gets nowhere is an error, not a loop") {
  AlignedOnly file({.memory = 512, .offset = 512}, true);
  std::vector<std::byte> memory(4096);
  for (const int64_t moved : {0, 100}) {
    OwnedRequest owned(&file, /*write=*/true, 0, memory);
    Transfer transfer;
    transfer.Begin(&owned.request);
    CHECK(transfer.Complete(moved) == Transfer::Next::kDone);
    CHECK(owned.request.error == EIO);
  }
}

TEST_CASE("EAGAIN and EINTR are tried again, but not for ever") {
  AlignedOnly file({}, false);
  std::vector<std::byte> memory(100);
  for (const int error : {EAGAIN, EINTR, ECANCELED}) {
    OwnedRequest owned(&file, /*write=*/false, 0, memory);
    Transfer transfer;
    transfer.Begin(&owned.request);
    uint32_t attempts = 1;
    while (transfer.Complete(-error) == Transfer::Next::kAgain) ++attempts;
    CHECK(attempts == Transfer::kMaxRetries + 1);
    CHECK(owned.request.error == error);
  }
}

TEST_CASE("progress makes the count of retries start again") {
  AlignedOnly file({}, false);
  std::vector<std::byte> memory(3);
  OwnedRequest owned(&file, /*write=*/false, 0, memory);
  Transfer transfer;
  transfer.Begin(&owned.request);
  for (int byte = 0; byte < 2; ++byte) {
    for (uint32_t i = 0; i < Transfer::kMaxRetries; ++i)
      REQUIRE(transfer.Complete(-EAGAIN) == Transfer::Next::kAgain);
    REQUIRE(transfer.Complete(1) == Transfer::Next::kAgain);
  }
  CHECK(transfer.Complete(1) == Transfer::Next::kDone);
  CHECK(owned.request.error == 0);
}

TEST_CASE("an error after progress keeps the count of what was moved") {
  AlignedOnly file({}, false);
  std::vector<std::byte> memory(100);
  OwnedRequest owned(&file, /*write=*/true, 0, memory);
  Transfer transfer;
  transfer.Begin(&owned.request);
  CHECK(transfer.Complete(40) == Transfer::Next::kAgain);
  CHECK(transfer.Complete(-ENOSPC) == Transfer::Next::kDone);
  CHECK(owned.request.error == ENOSPC);
  CHECK(owned.request.transferred == 40);
  const Status status = StatusOf(owned.request);
  CHECK(status.code() == StatusCode::kNoSpace);
}

}  // namespace
}  // namespace lamina
