// What the tests of this folder share: a directory that goes away, files that fail on demand,
// payloads that name their page, and a log with a budget of segments.
#ifndef LAMINA_TESTS_TENSORLOG_TENSORLOG_TEST_UTIL_H_
#define LAMINA_TESTS_TENSORLOG_TENSORLOG_TEST_UTIL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "engine/base/keys.h"
#include "engine/base/status.h"
#include "engine/io/file_system.h"
#include "engine/io/forwarding_file_system.h"
#include "engine/io/posix_file_system.h"
#include "tensorlog/tensor_log.h"

namespace lamina {

inline constexpr StoreId kTestStore{0x0123456789ABCDEFu, 0xFEDCBA9876543210u};

// A fresh directory under $TMPDIR or /tmp, removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* const base = std::getenv("TMPDIR");
    std::string name = std::string(base != nullptr ? base : "/tmp") + "/lamina-log-XXXXXX";
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

inline std::unique_ptr<PosixFileSystem> MakeFileSystem(Options::Io io = Options::Io::kThreads) {
  auto result = PosixFileSystem::Create({.io = io, .io_threads = 4});
  if (!result.ok()) std::abort();
  return std::move(*result);
}

inline std::vector<Options::Io> Backends() {
  std::vector<Options::Io> backends = {Options::Io::kThreads};
  if (PosixFileSystem::Create({.io = Options::Io::kUring}).ok()) {
    backends.push_back(Options::Io::kUring);
  }
  return backends;
}

inline std::string ReadWhole(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return {};
  std::string bytes(static_cast<size_t>(in.tellg()), '\0');
  in.seekg(0);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

inline void WriteWhole(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline void FlipBit(const std::string& path, uint64_t offset, unsigned bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(offset));
  const auto byte = static_cast<unsigned>(file.get());
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(byte ^ (1u << bit)));
}

// Compares with a golden, lines of offset and 16 bytes without those that are all zero; writes it
// when LAMINA_REWRITE_GOLDENS is set. Empty when equal.
inline std::string Golden(const std::string& name, std::string_view bytes) {
  std::string hex;
  char text[32];
  for (size_t line = 0; line < bytes.size(); line += 16) {
    const std::string_view sixteen = bytes.substr(line, 16);
    if (sixteen.find_first_not_of('\0') == std::string_view::npos) continue;
    std::snprintf(text, sizeof text, "%06zx:", line);
    hex += text;
    for (const char byte : sixteen) {
      std::snprintf(text, sizeof text, " %02x", static_cast<unsigned char>(byte));
      hex += text;
    }
    hex += '\n';
  }
  hex += std::to_string(bytes.size()) + " bytes\n";
  const std::string path = std::string(LAMINA_GOLDENS) + "/" + name;
  if (std::getenv("LAMINA_REWRITE_GOLDENS") != nullptr) WriteWhole(path, hex);
  return ReadWhole(path) == hex ? "" : "differs from " + path + ":\n" + hex;
}

// ---- Files that fail on demand ------------------------------------------------------------------

// What goes wrong, for files whose path contains `only_in`. A count of n fails the n-th from now,
// and all that follow.
struct Failures {
  std::string only_in;
  std::atomic<int64_t> sync_at{0};
  std::atomic<int64_t> write_at{0};
  std::atomic<int64_t> allocate_at{0};
  StatusCode code = StatusCode::kIoError;
  std::atomic<uint64_t> syncs{0};
  std::atomic<uint64_t> writes{0};
  // Called before every sync of a file, if it is set.
  std::function<void(const std::string& path)> on_sync;

  [[nodiscard]] bool Hit(std::atomic<int64_t>& at, const std::string& path) {
    if (at.load() == 0 || path.find(only_in) == std::string::npos) return false;
    if (at.load() == 1) return true;
    --at;
    return false;
  }
  [[nodiscard]] Status Error(const std::string& path) const {
    return Status(code, "injected failure of " + path);
  }
};

class FailingFile final : public ForwardingFile {
 public:
  FailingFile(std::unique_ptr<File> file, Failures& failures)
      : ForwardingFile(std::move(file)), failures_(failures) {}
  Status Write(uint64_t offset, std::span<const std::byte> data) noexcept override {
    ++failures_.writes;
    if (failures_.Hit(failures_.write_at, path())) return failures_.Error(path());
    return ForwardingFile::Write(offset, data);
  }
  Status Sync() noexcept override {
    ++failures_.syncs;
    if (failures_.on_sync) failures_.on_sync(path());
    if (failures_.Hit(failures_.sync_at, path())) return failures_.Error(path());
    return ForwardingFile::Sync();
  }
  Status Allocate(uint64_t bytes) noexcept override {
    if (failures_.Hit(failures_.allocate_at, path())) return failures_.Error(path());
    return ForwardingFile::Allocate(bytes);
  }

 private:
  Failures& failures_;
};

class FailingFileSystem final : public ForwardingFileSystem {
 public:
  explicit FailingFileSystem(Options::Io io = Options::Io::kThreads)
      : ForwardingFileSystem(MakeFileSystem(io)) {}
  Failures failures;
  bool buffered = false;  // refuses direct I/O

  Result<std::unique_ptr<File>> Open(const std::string& path,
                                     const FileOpen& how) noexcept override {
    FileOpen allowed = how;
    allowed.direct &= !buffered;
    auto file = ForwardingFileSystem::Open(path, allowed);
    if (!file.ok()) return file.status();
    return std::unique_ptr<File>(std::make_unique<FailingFile>(std::move(*file), failures));
  }
};

// ---- Pages --------------------------------------------------------------------------------------

// A page with a fingerprint, bytes that follow from it, and fragments of given sizes: those of 4
// KiB and more on page boundaries, smaller ones on multiples of 64, all misaligned by so many
// bytes. Guard bytes lie around each.
class TestPage {
 public:
  explicit TestPage(uint64_t name, size_t bytes) : TestPage(name, std::vector{bytes}) {}
  TestPage(uint64_t name, const std::vector<size_t>& sizes, size_t misalign = 0) : name_(name) {
    constexpr size_t kGuardBytes = 64;
    std::vector<size_t> offsets;
    size_t end = 0;
    for (const size_t size : sizes) {
      const size_t align = size < kPageBytes ? 64 : kPageBytes;
      offsets.push_back((end + kGuardBytes + align - 1) / align * align + misalign);
      end = offsets.back() + size;
      bytes_ += size;
    }
    memory_ = AlignedBuffer(end + kGuardBytes);
    std::memset(memory_.data(), kGuard, memory_.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      fragments_.push_back({memory_.data() + offsets[i], sizes[i]});
    }
    Fill();
  }
  void Fill() {
    const std::string bytes = Bytes();
    size_t at = 0;
    for (const iovec& fragment : fragments_) {
      std::memcpy(fragment.iov_base, bytes.data() + at, fragment.iov_len);
      at += fragment.iov_len;
    }
  }
  void Clear() {
    for (const iovec& fragment : fragments_) std::memset(fragment.iov_base, 0, fragment.iov_len);
  }
  [[nodiscard]] bool Right() const {
    const std::string bytes = Bytes();
    size_t at = 0;
    for (const iovec& fragment : fragments_) {
      if (std::memcmp(fragment.iov_base, bytes.data() + at, fragment.iov_len) != 0) return false;
      at += fragment.iov_len;
    }
    return true;
  }
  // Nothing but the fragments was written to.
  [[nodiscard]] bool GuardsIntact() const {
    const std::byte* at = memory_.data();
    for (const iovec& fragment : fragments_) {
      const auto* const begin = static_cast<const std::byte*>(fragment.iov_base);
      if (!std::all_of(at, begin, IsGuard)) return false;
      at = begin + fragment.iov_len;
    }
    return std::all_of(at, memory_.data() + memory_.size(), IsGuard);
  }
  [[nodiscard]] Fingerprint fingerprint() const { return name_ * 0x9E3779B97F4A7C15u | 1; }
  [[nodiscard]] uint64_t checksum() const {
    std::vector<std::span<const std::byte>> pieces;
    for (const iovec& fragment : fragments_) {
      pieces.push_back({static_cast<const std::byte*>(fragment.iov_base), fragment.iov_len});
    }
    return ChecksumOf(fingerprint(), pieces);
  }
  [[nodiscard]] std::span<const iovec> fragments() const { return fragments_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

  [[nodiscard]] PageWrite Write(SlotRef slot) const {
    return {.slot = slot, .fingerprint = fingerprint(), .fragments = fragments_};
  }
  [[nodiscard]] PageRead Read(SlotRef slot, uint64_t page_checksum) const {
    return {.slot = slot,
            .fingerprint = fingerprint(),
            .checksum = page_checksum,
            .length = static_cast<uint32_t>(bytes_),
            .fragments = fragments_};
  }

 private:
  static constexpr int kGuard = 0xEE;
  static bool IsGuard(std::byte byte) { return byte == std::byte{kGuard}; }
  [[nodiscard]] std::string Bytes() const {
    std::string bytes(bytes_ + 8, '\0');
    std::mt19937_64 random(name_);
    for (size_t i = 0; i < bytes_; i += 8) {
      const uint64_t word = random();
      std::memcpy(bytes.data() + i, &word, 8);
    }
    return bytes;
  }

  const uint64_t name_;
  AlignedBuffer memory_;
  std::vector<iovec> fragments_;
  size_t bytes_ = 0;
};

// ---- A log --------------------------------------------------------------------------------------

// Gives out segments up to a number, and remembers them as a manifest would.
class BudgetSource final : public SegmentSource {
 public:
  explicit BudgetSource(size_t budget) : budget_(budget) {}
  Result<uint32_t> ReserveSegment(uint32_t, uint32_t, uint32_t*) noexcept override {
    const std::lock_guard lock(mutex_);
    if (reserved_ >= budget_) return Status::NoSpace("no more segments in this test");
    ++reserved_;
    return next_id_++;
  }
  Status SegmentCreated(const SegmentInfo& info) noexcept override {
    const std::lock_guard lock(mutex_);
    if (!created_status.ok()) return created_status;
    segments.push_back(info);
    return Status::Ok();
  }
  void SegmentFailed(const SegmentInfo&, const Status&) noexcept override {
    const std::lock_guard lock(mutex_);
    --reserved_;
    ++failed;
  }
  std::vector<SegmentInfo> segments;
  size_t failed = 0;
  Status created_status;

 private:
  std::mutex mutex_;
  size_t budget_;
  size_t reserved_ = 0;
  uint32_t next_id_ = 1;
};

// A log over a temporary directory that can be closed and opened again.
class TestLog {
 public:
  explicit TestLog(size_t segments, uint64_t capacity_bytes = 8 << 20, size_t dirs = 1,
                   Options::Io io = Options::Io::kThreads)
      : fs(io), source(segments), bounce(1 << 20, 8 << 20) {
    options.store_id = kTestStore;
    for (size_t i = 0; i < dirs; ++i) {
      options.log_dirs.push_back(dir.File("log" + std::to_string(i)));
    }
    options.slot_table_dir = dir.File("slots");
    options.capacity_bytes = capacity_bytes;
    if (!fs.MakeDirectory(options.slot_table_dir).ok()) std::abort();
    Open(false);
    log->FinishReplay();
    auto made = fs.NewQueue(16);
    if (!made.ok()) std::abort();
    queue = std::move(*made);
  }

  // Without FinishReplay. Adds the segments of the manifest.
  void Open(bool known) {
    log.reset();
    auto opened = TensorLog::Open(fs, bounce, options,
                                  std::vector<bool>(options.log_dirs.size(), known), source);
    if (!opened.ok()) std::abort();
    log = std::move(*opened);
    recovered.clear();
    for (const SegmentInfo& info : source.segments) {
      const auto table = tables.find(info.id);
      auto added = log->AddSegment(info, table == tables.end() ? 0 : table->second);
      if (!added.ok()) std::abort();
      recovered.push_back(std::move(*added));
    }
  }
  void Reopen() {
    Open(true);
    log->FinishReplay();
  }

  // A checkpoint whose manifest edit is `tables`.
  Status Checkpoint(JournalPosition position, bool all = false) {
    auto saved = log->SaveSlotTables(position, ++generation, all);
    if (!saved.ok()) return saved.status();
    if (Status status = log->SyncPayloads(); !status.ok()) {
      log->CheckpointFailed(*saved);
      return status;
    }
    for (const SavedSlotTable& table : *saved) tables[table.segment] = table.generation;
    log->CheckpointDone(position, *saved);
    return Status::Ok();
  }

  // Writes and publishes pages, at `position`; their slots, empty for those that got none.
  std::vector<SlotRef> Put(std::span<const TestPage> pages, JournalPosition position = {1, 0},
                           uint32_t root = 7) {
    std::vector<SlotRef> slots;
    auto runs = log->Take(pages.front().bytes(), pages.size());
    if (!runs.ok()) return slots;
    for (const SlotRun& run : *runs) {
      for (uint32_t i = 0; i < run.count; ++i) slots.push_back(run.slot(i));
    }
    std::vector<PageWrite> writes;
    for (size_t i = 0; i < slots.size(); ++i) writes.push_back(pages[i].Write(slots[i]));
    if (!log->WritePages(*queue, writes, {}, false, &tally).ok()) std::abort();
    for (size_t i = 0; i < slots.size(); ++i) {
      log->Publish(slots[i], TagOf(pages[i].fingerprint(), writes[i].checksum), root, position);
    }
    return slots;
  }
  SlotRef PutOne(const TestPage& page, JournalPosition position = {1, 0}, uint32_t root = 7) {
    return Put(std::span(&page, 1), position, root).at(0);
  }
  static uint64_t TagOfPage(const TestPage& page) {
    return TagOf(page.fingerprint(), page.checksum());
  }
  ReadOutcome Get(TestPage& page, SlotRef slot) {
    const uint64_t checksum = page.checksum();
    page.Clear();
    PageRead read = page.Read(slot, checksum);
    log->ReadPages(*queue, std::span(&read, 1), {}, nullptr, &tally);
    if (read.outcome != ReadOutcome::kOk) page.Fill();
    return read.outcome;
  }

  TemporaryDirectory dir;
  FailingFileSystem fs;
  BudgetSource source;
  BufferPool bounce;
  TensorLogOptions options;
  std::unique_ptr<TensorLog> log;
  std::unique_ptr<IoQueue> queue;
  std::vector<TensorLog::Recovered> recovered;
  std::map<uint32_t, uint64_t> tables;
  uint64_t generation = 0;
  IoTally tally;
};

}  // namespace lamina

#endif  // LAMINA_TESTS_TENSORLOG_TENSORLOG_TEST_UTIL_H_
