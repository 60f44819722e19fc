#include "tools/vlog_gc_verify.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"
#include "tools/common_text.h"

namespace lamina::vlog_gc {
namespace {

using tools::Counted;
using tools::HexOf64;
using tools::Printable;
using tools::Record;

constexpr size_t kBatchBytes = size_t{16} << 20;
constexpr size_t kBatchPages = 1024;
constexpr size_t kQueueDepth = 16;
constexpr size_t kTries = 2;
// A put that was under way when the state was read has journaled its pages by then.
constexpr auto kPause = std::chrono::seconds(1);

struct Page {
  OwnedStemKey key;
  Entry entry;
  bool live = false;
  bool unproven = false;
  uint32_t root = 0;
  size_t offset = 0;  // in the batch's memory
  iovec fragment{};
  ReadOutcome outcome = ReadOutcome::kPending;
  uint64_t found = 0;  // checksum of the bytes that were read
  [[nodiscard]] Fingerprint fingerprint() const { return key.fingerprints.back(); }
  [[nodiscard]] uint64_t tag() const { return entry.tag(fingerprint()); }
};

size_t RoundUp(size_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

// Reads pages in batches and hands on each with its outcome.
class PageChecker {
 public:
  PageChecker(TensorLog& log, IoQueue& queue) : log_(log), queue_(queue) {}

  // True when the batch is to be checked before another page of `length` is added.
  [[nodiscard]] bool Full(uint32_t length) const {
    return !batch_.empty() &&
           (batch_.size() == kBatchPages || used_ + RoundUp(length) > kBatchBytes);
  }
  void Add(Page page) {
    const size_t bytes = RoundUp(page.entry.length);
    if (memory_.size() < std::max(bytes, kBatchBytes))
      memory_ = AlignedBuffer(std::max(bytes, kBatchBytes));
    page.offset = used_;
    used_ += bytes;
    batch_.push_back(std::move(page));
  }
  // What is wrong is read once more, by itself. Empties the batch.
  template <class Fn>
  void Check(Fn&& done) {
    for (Page& page : batch_) page.fragment = {memory_.data() + page.offset, page.entry.length};
    std::vector<Page*> wanted;
    for (Page& page : batch_) wanted.push_back(&page);
    for (size_t i = 0; i < kTries && !wanted.empty(); ++i) {
      Read(wanted);
      std::erase_if(wanted, [](const Page* page) {
        return page->outcome != ReadOutcome::kMismatch && page->outcome != ReadOutcome::kIoError;
      });
    }
    for (Page& page : batch_) {
      if (page.outcome == ReadOutcome::kMismatch) page.found = SumOf(page);
      done(page);
    }
    batch_.clear();
    used_ = 0;
  }

 private:
  void Read(const std::vector<Page*>& pages) {
    std::vector<PageRead> reads;
    for (Page* page : pages) {
      reads.push_back({.slot = page->entry.slot,
                       .fingerprint = page->fingerprint(),
                       .checksum = page->entry.checksum,
                       .length = page->entry.length,
                       .fragments = std::span(&page->fragment, 1)});
    }
    IoTally tally;
    log_.ReadPages(queue_, reads, {}, nullptr, &tally);
    for (size_t i = 0; i < pages.size(); ++i) pages[i]->outcome = reads[i].outcome;
  }

  [[nodiscard]] static uint64_t SumOf(const Page& page) {
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(page.fragment.iov_base),
                                           page.fragment.iov_len);
    return ChecksumOf(page.fingerprint(), std::span(&bytes, 1));
  }

  TensorLog& log_;
  IoQueue& queue_;
  AlignedBuffer memory_;
  size_t used_ = 0;
  std::vector<Page> batch_;
};

class Verifier {
 public:
  Verifier(FileSystem& fs, std::string directory, std::unique_ptr<StoreState> state, Report& report)
      : fs_(fs),
        directory_(std::move(directory)),
        state_(std::move(state)),
        in_pieces_(state_->changed_meanwhile()),
        report_(report) {}

  void Run() {
    auto queue = fs_.NewQueue(kQueueDepth);
    if (!queue.ok()) return report_.Trouble(queue.status().message());
    queue_ = std::move(*queue);
    CollectTags();
    if (!CheckAll()) return Total();
    if (!report_.done()) CheckSuspects();
    // Of a state in pieces, entries may be missing that are there.
    if (!report_.done() && !in_pieces_) PrintUnreached();
    Total();
  }

 private:
  void CollectTags() {
    state_->log().ForEachSlot([&](Segment& segment, uint32_t number, Slot& slot) {
      if (report_.options().segment && *report_.options().segment != segment.id()) return;
      std::vector<uint64_t>& tags = unreached_[segment.id()];
      tags.resize(segment.slot_count());
      tags[number] = slot.tag();
    });
  }

  // Follows every entry. False when it had to end early.
  bool CheckAll() {
    std::vector<Status> damage;
    const auto entries = state_->Entries(&damage);
    PageChecker checker(state_->log(), *queue_);
    const auto done = [this](const Page& page) { Judge(page); };
    for (entries->SeekToFirst(); entries->Valid() && !report_.done(); entries->Next()) {
      auto page = Reached(entries->key(), entries->entry());
      if (!page) continue;
      if (checker.Full(page->entry.length)) checker.Check(done);
      checker.Add(std::move(*page));
    }
    checker.Check(done);
    for (const Status& what : damage) report_.Failed(directory_, what);
    if (!entries->status().ok()) {
      report_.Trouble(entries->status().message());
      return false;
    }
    return true;
  }

  // The page of an entry whose slot bears its tag, the first time.
  std::optional<Page> Reached(const StemKey& key, const Entry& entry) {
    const auto segment = unreached_.find(entry.slot.segment);
    if (segment == unreached_.end() || entry.slot.slot >= segment->second.size()) return {};
    uint64_t& tag = segment->second[entry.slot.slot];
    if (tag == 0 || tag != entry.tag(key.fingerprints.back())) return {};
    tag = 0;
    return PageOf(state_->log(), OwnedStemKey(key), entry);
  }

  static std::optional<Page> PageOf(const TensorLog& log, OwnedStemKey key, const Entry& entry) {
    Page page;
    page.key = std::move(key);
    page.entry = entry;
    const SegmentTable::ReadSection section(log.table());
    const Segment* const segment = section.Find(entry.slot.segment);
    if (segment == nullptr || segment->absent() || entry.slot.slot >= segment->slot_count())
      return {};
    const Slot& slot = segment->slot(entry.slot.slot);
    if (slot.tag() != page.tag()) return {};
    page.live = slot.state() == SlotState::kLive;
    page.unproven = slot.unproven();
    page.root = slot.root();
    return page;
  }

  void Judge(const Page& page) {
    switch (page.outcome) {
      case ReadOutcome::kOk:
        ++pages_;
        bytes_ += page.entry.length;
        return;
      case ReadOutcome::kMismatch:
        // Of a store that is open, not before it was looked at again.
        if (!state_->closed()) {
          suspects_.push_back(page);
        } else {
          Wrong(page);
        }
        return;
      case ReadOutcome::kIoError:
        ++unreadable_;
        return report_.Trouble(PlaceOf(page) + ": cannot be read");
      default:
        // More bytes than the slot has: the entry is wrong.
        return Wrong(page);
    }
  }

  [[nodiscard]] SegmentInfo InfoOf(uint32_t segment) const {
    return SegmentTable::ReadSection(state_->log().table()).Find(segment)->info();
  }

  [[nodiscard]] std::string PlaceOf(const Page& page) const {
    return Printable(state_->SegmentPath(InfoOf(page.entry.slot.segment))) + ": slot " +
           std::to_string(page.entry.slot.slot);
  }

  [[nodiscard]] static std::string NameOf(const Page& page) { return KeyToString(page.key.view()); }

  void Wrong(const Page& page) {
    const SegmentInfo info = InfoOf(page.entry.slot.segment);
    const uint64_t offset = uint64_t{info.slot_bytes} * page.entry.slot.slot;
    const std::string root = state_->RootText(page.root);
    Record record(page.unproven ? "unproven" : "damage");
    record.Text("file", state_->SegmentPath(info))
        .Number("segment", uint64_t{info.id})
        .Number("slot", uint64_t{page.entry.slot.slot})
        .Number("offset", offset)
        .Number("length", uint64_t{page.entry.length})
        .Text("page", tools::HexOf(KeyBytes(page.key.view()).view()))
        .Text("root", root)
        .Text("state", page.live ? "live" : "condemned")
        .Text("what", "checksum")
        .Text("expected", HexOf64(page.entry.checksum))
        .Text("found", HexOf64(page.found));
    const std::string text = fmt::format(
        "{} {} at offset {}, {} bytes: page {} of {}: {}: expected {}, found {}\n",
        page.unproven ? "unproven" : "damage  ", PlaceOf(page), offset, page.entry.length,
        NameOf(page), Printable(root), page.unproven ? "never written" : "checksum",
        HexOf64(page.entry.checksum), HexOf64(page.found));
    if (page.unproven) {
      ++unproven_;
      report_.Print(record, text);
    } else {
      ++wrong_;
      report_.Damaged(record, text);
    }
  }

  // With the state as it is now: a page that was overwritten or moved since was no damage.
  void CheckSuspects() {
    if (suspects_.empty()) return;
    std::this_thread::sleep_for(kPause);
    auto now = StoreState::Load(fs_, directory_);
    if (!now.ok()) return report_.Failed(directory_, now.status());
    PageChecker checker((*now)->log(), *queue_);
    const auto done = [this](const Page& page) {
      if (page.outcome == ReadOutcome::kMismatch || page.outcome == ReadOutcome::kWrongSize) {
        Wrong(page);
      } else {
        ++changed_;
      }
    };
    std::unique_ptr<StoreState> before = std::exchange(state_, std::move(*now));
    for (Page& suspect : suspects_) {
      auto page = PageOf(state_->log(), std::move(suspect.key), suspect.entry);
      if (!page) {
        ++changed_;
        continue;
      }
      if (checker.Full(page->entry.length)) checker.Check(done);
      checker.Add(std::move(*page));
    }
    checker.Check(done);
  }

  void PrintUnreached() {
    for (const auto& [id, tags] : unreached_) {
      const std::string file = state_->SegmentPath(InfoOf(id));
      for (uint32_t slot = 0; slot < tags.size() && !report_.done(); ++slot) {
        if (tags[slot] == 0) continue;
        ++unreached_tags_;
        report_.Print(Record("unreached")
                          .Text("file", file)
                          .Number("segment", uint64_t{id})
                          .Number("slot", uint64_t{slot})
                          .Text("tag", HexOf64(tags[slot])),
                      fmt::format("no entry {}: slot {}: tag {} is reached by no entry\n",
                                  Printable(file), slot, HexOf64(tags[slot])));
      }
    }
  }

  void Total() {
    report_.Print(
        Record("total")
            .Number("segments", unreached_.size())
            .Number("pages", pages_)
            .Number("bytes", bytes_)
            .Number("damaged_pages", wrong_)
            .Number("unproven_pages", unproven_)
            .Number("changed_meanwhile", changed_)
            .Number("tags_without_entry", unreached_tags_)
            .Number("unreadable_pages", unreadable_)
            .Number("damages", report_.damages())
            .Number("errors", report_.troubles())
            .Flag("stopped", report_.stop()),
        fmt::format("total    {}, {} right ({}): {} damaged, {} unproven and not there, {} "
                    "overwritten meanwhile; {} without an entry; {}{}\n",
                    Counted(unreached_.size(), "segment"), Counted(pages_, "page"),
                    report_.Bytes(bytes_), report_.Count(wrong_), report_.Count(unproven_),
                    report_.Count(changed_), Counted(unreached_tags_, "tag"),
                    Counted(report_.troubles(), "error"),
                    report_.stop() ? "; stopped before the end" : ""));
  }

  FileSystem& fs_;
  const std::string directory_;
  std::unique_ptr<StoreState> state_;
  const bool in_pieces_;
  Report& report_;
  std::unique_ptr<IoQueue> queue_;
  std::map<uint32_t, std::vector<uint64_t>> unreached_;  // by segment: tags not yet met, or 0
  std::vector<Page> suspects_;
  uint64_t pages_ = 0;
  uint64_t bytes_ = 0;
  uint64_t wrong_ = 0;
  uint64_t unproven_ = 0;
  uint64_t changed_ = 0;
  uint64_t unreadable_ = 0;
  uint64_t unreached_tags_ = 0;
};

}  // namespace

void Verify(FileSystem& fs, const std::string& directory, std::unique_ptr<StoreState> state,
            Report& report) {
  Verifier(fs, directory, std::move(state), report).Run();
}

}  // namespace lamina::vlog_gc
