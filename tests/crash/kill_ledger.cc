#include "tests/crash/kill_ledger.h"

#include <algorithm>

namespace lamina::testing {

void KillLedger::Lower(uint32_t path, uint32_t first, uint32_t count, Promise most) {
  for (uint32_t page = first; page < first + count; ++page)
    pages_[path][page] = std::min(pages_[path][page], most);
}

void KillLedger::Apply(const KillReport& report) {
  using Kind = KillReport::Kind;
  auto& pages = pages_[report.path];
  const auto lower_root = [&](Promise most) {
    for (uint32_t path = report.path % kKillRoots; path < kKillPaths; path += kKillRoots)
      Lower(path, 0, kKillPages, most);
  };
  switch (report.kind) {
    case Kind::kPutBegun:
      for (uint32_t page = report.first; page < report.first + report.count; ++page)
        pages[page] = std::max(pages[page], Promise::kNothing);
      begun_ += report.count;
      break;
    case Kind::kPutDone:
      for (uint32_t page = 0; page < kKillPages; ++page)
        if ((report.pages >> page & 1) != 0) pages[page] = Promise::kThere;
      begun_ -= report.count;
      break;
    case Kind::kEraseBegun:
      return Lower(report.path, report.first, report.count, Promise::kNothing);
    case Kind::kEraseDone:
      Lower(report.path, report.first, report.count, Promise::kAbsent);
      break;
    case Kind::kRootBegun:
      return lower_root(Promise::kNothing);
    case Kind::kRootDone:
      lower_root(Promise::kAbsent);
      break;
    case Kind::kOpened:
    case Kind::kOther:
    case Kind::kFailed:
      break;
  }
  if (report.kind != Kind::kPutBegun) Settle(report.live);
  if (report.kind == Kind::kOpened) slack_ = 0;
}

// A put in a full store evicts about as many pages as it writes, in runs.
void KillLedger::NoteKilled() {
  constexpr uint32_t kRun = 32;
  if (evicts_ && begun_ > 0) slack_ += begun_ + kRun;
  begun_ = 0;
}

bool KillLedger::Promised(uint32_t path, uint32_t page) const {
  return pages_[path][page] == Promise::kThere;
}

bool KillLedger::Absent(uint32_t path, uint32_t page) const {
  return pages_[path][page] == Promise::kAbsent;
}

uint32_t KillLedger::promised() const {
  uint32_t count = 0;
  for (const auto& pages : pages_)
    count += static_cast<uint32_t>(std::count(pages.begin(), pages.end(), Promise::kThere));
  return count;
}

void KillLedger::Settle(const PageSet& live) {
  for (uint32_t path = 0; evicts_ && path < kKillPaths; ++path) {
    for (uint32_t page = 0; page < kKillPages; ++page)
      if ((live[path] >> page & 1) == 0) Lower(path, page, 1, Promise::kNothing);
  }
}

}  // namespace lamina::testing
