#include "engine/store/evictor.h"

#include <algorithm>
#include <utility>

namespace lamina {
namespace {

// The unit in which the policy counts the length of a path.
constexpr uint32_t kUnitTokens = 512;

// Whether the page is live again. What is being given up stays condemned: it can still be read for
// a while.
bool ReviveIn(Segment* segment, SlotRef slot, uint64_t tag) noexcept {
  return segment != nullptr && !segment->draining() && segment->Revive(slot.slot, tag);
}

}  // namespace

Evictor::Evictor(TensorLog& log, StoreCounters& counters, EvictorOptions options) noexcept
    : log_(log),
      counters_(counters),
      options_(std::move(options)),
      policy_(MakePolicy(options_.policy)),
      sampler_(options_.policy.seed) {}

ClassResidents& Evictor::ClassOf(uint32_t slot_bytes) noexcept {
  auto& residents = classes_[slot_bytes];
  if (residents == nullptr)
    residents = std::make_unique<ClassResidents>(log_, slot_bytes, counters_);
  return *residents;
}

RequestShape Evictor::ShapeOf(const PathKeys& path) const noexcept {
  const uint32_t tokens = path.page_tokens == 0 ? options_.page_tokens : path.page_tokens;
  return {.flat = path.kind == PathKind::kFlatKeys,
          .pages_per_unit = std::max<uint32_t>(1, kUnitTokens / tokens)};
}

// ---- Requests ----------------------------------------------------------------------------------

size_t Evictor::NoteUse(Path::Impl& path, size_t first, size_t count) noexcept {
  if (path.request == nullptr) path.request = std::make_shared<ShownRequest>();
  if (path.request->noted.load(std::memory_order_acquire))
    return NoteAgain(path, first, first + count);
  return Note(path, first, first + count, path.request);
}

// A page that is used stays, whichever call on the path has found it. Nobody waits for this either.
size_t Evictor::NoteAgain(const Path::Impl& path, size_t first, size_t end) noexcept {
  std::vector<Noted::Found> found;
  for (size_t i = first; i < end; ++i) {
    const Location& location = path.locations[i];
    if (location.found &&
        log_.Condemned(location.entry.slot, location.entry.tag(path.fingerprints[i])))
      found.push_back({static_cast<uint32_t>(i), location.entry});
  }
  if (found.empty()) return 0;
  const std::lock_guard lock(noted_mutex_);
  noted_.push_back({path, first, end, std::move(found), path.request, /*again=*/true});
  return noted_.size();
}

size_t Evictor::NoteTouch(const Path::Impl& path, size_t end) noexcept {
  return Note(path, 0, end, nullptr);
}

// On the way of every probe and get: no more than what has to be remembered.
size_t Evictor::Note(const Path::Impl& path, size_t first, size_t end,
                     std::shared_ptr<ShownRequest> result) noexcept {
  Noted noted = {path, first, end, {}, std::move(result), /*again=*/false};
  for (size_t i = first; i < end; ++i) {
    const Location& location = path.locations[i];
    if (location.found) noted.found.push_back({static_cast<uint32_t>(i), location.entry});
  }
  const std::lock_guard lock(noted_mutex_);
  ShownRequest* const request = noted.result.get();
  // A copy of the path may have been faster.
  if (request != nullptr && request->noted.load(std::memory_order_relaxed)) return 0;
  noted_.push_back(std::move(noted));
  if (request != nullptr) request->noted.store(true, std::memory_order_release);
  return noted_.size();
}

void Evictor::ShowNoted() noexcept {
  const std::lock_guard show_lock(show_mutex_);
  for (;;) {
    std::deque<Noted> batch;
    {
      const std::lock_guard lock(noted_mutex_);
      batch.swap(noted_);
    }
    if (batch.empty()) return;
    for (const Noted& noted : batch) noted.again ? ShowAgain(noted) : Show(noted);
  }
}

void Evictor::Settle() noexcept {
  const std::lock_guard lock(mutex_);
  policy_->Settle();
}

void Evictor::Show(const Noted& noted) noexcept {
  Path::Impl path(noted.path);
  // Ancestors of what is not there are not there either, or are warm by themselves.
  if (noted.first > 0 && !noted.found.empty()) options_.locate(path, 0, noted.first);
  for (const Noted::Found& found : noted.found) path.locations[found.page] = {found.entry, true};
  // A touch is of the pages up to its end.
  std::vector<RequestPage> pages(noted.result == nullptr ? noted.end : path.pages());
  for (size_t i = 0; i < pages.size(); ++i) {
    pages[i].key = path.fingerprints[i];
    const Location& location = path.locations[i];
    HeatValue heat;
    pages[i].readable =
        location.found &&
        log_.LoadHeat(location.entry.slot, location.entry.tag(path.fingerprints[i]), &heat);
    if (pages[i].readable) pages[i].heat = HeatOf(heat[0]);
  }
  {
    const std::lock_guard lock(mutex_);
    policy_->OnRequest(ShapeOf(path), pages);
    Apply(path, pages);
  }
  StoreCounters::Add(counters_.policy_requests, 1);
  if (noted.result == nullptr) return;
  noted.result->heats.reserve(pages.size());
  noted.result->seen.reserve(pages.size());
  for (const RequestPage& page : pages) {
    noted.result->heats.push_back(page.heat);
    noted.result->seen.push_back(page.seen);
  }
  noted.result->shown.store(true, std::memory_order_release);
}

// With the heats that the request gave them; nothing else is changed by it.
void Evictor::ShowAgain(const Noted& noted) noexcept {
  LAMINA_CHECK(noted.result->shown.load(std::memory_order_acquire));
  const std::lock_guard lock(mutex_);
  std::set<uint32_t> grown;  // classes
  for (const Noted::Found& found : noted.found) {
    const SlotRef slot = found.entry.slot;
    const uint64_t tag = found.entry.tag(noted.path.fingerprints[found.page]);
    log_.SetHeatWord(slot, tag, 0, HeatWord(noted.result->heats[found.page]));
    Revive(slot, tag, &grown);
  }
  for (const uint32_t slot_bytes : grown) Trim(ClassOf(slot_bytes));
}

// The heats go to the slots; what was condemned and is used comes back, at the cost of others.
void Evictor::Apply(const Path::Impl& path, std::span<const RequestPage> pages) noexcept {
  std::set<uint32_t> grown;  // classes
  uint64_t child = 0;
  for (size_t i = pages.size(); i-- > 0;) {
    if (!pages[i].readable) {
      child = 0;
      continue;
    }
    const SlotRef slot = path.locations[i].entry.slot;
    const uint64_t tag = path.locations[i].entry.tag(path.fingerprints[i]);
    log_.StoreHeat(slot, tag, {HeatWord(pages[i].heat), child});
    child = ChildWord(slot);
    Revive(slot, tag, &grown);
  }
  for (const uint32_t slot_bytes : grown) Trim(ClassOf(slot_bytes));
}

void Evictor::Revive(SlotRef slot, uint64_t tag, std::set<uint32_t>* classes) noexcept {
  const SegmentTable::ReadSection section(log_.table());
  Segment* const segment = section.Find(slot.segment);
  if (!ReviveIn(segment, slot, tag)) return;
  StoreCounters::Add(counters_.condemned_hits, 1);
  classes->insert(segment->slot_bytes());
}

// ---- Admission ---------------------------------------------------------------------------------

void Evictor::Trim(ClassResidents& residents) noexcept {
  const ClassResidents::Session session(residents, options_.growable(residents.slot_bytes()));
  TrimToCapacity(*policy_, residents, {}, false);
  NoteLost(residents, {});
}

// The policy keeps records in proportion to the pages that the store may have. Its table is made
// anew for another size, so not for each segment.
void Evictor::SizeRecords() noexcept {
  uint64_t pages = 0;
  for (const auto& [slot_bytes, residents] : classes_) pages += residents->capacity_pages();
  const uint64_t change = std::max(pages, recorded_pages_) - std::min(pages, recorded_pages_);
  if (change <= recorded_pages_ / 8) return;
  recorded_pages_ = pages;
  policy_->SetCapacity(pages, options_.policy.record_bytes);
}

void Evictor::TrimAll() noexcept {
  const std::lock_guard lock(mutex_);
  for (const ClassStats& one : log_.Stats(false)) Trim(ClassOf(one.slot_bytes));
}

std::optional<size_t> Evictor::Admit(const Path::Impl& path, std::span<const size_t> pages,
                                     uint32_t slot_bytes) noexcept {
  ShowNoted();
  const ShownRequest& request = *path.request;
  // Noted by this very path, in an earlier call or just now.
  LAMINA_CHECK(request.shown.load(std::memory_order_acquire));
  size_t count = pages.size();
  if (options_.admission == Options::Admission::kSecondUse) {
    count = 0;
    while (count < pages.size() && request.seen[pages[count]]) ++count;
  }
  std::vector<Heat> heats(count);
  for (size_t i = 0; i < count; ++i) heats[i] = request.heats[pages[i]];

  const std::lock_guard lock(mutex_);
  if (count > 0) ReviveOwn(path, slot_bytes);
  ClassResidents& residents = ClassOf(slot_bytes);
  const ClassResidents::Session session(residents, options_.growable(slot_bytes));
  SizeRecords();
  if (residents.capacity_pages() == 0) return std::nullopt;
  const bool admit_all = options_.admission != Options::Admission::kPolicy;
  const size_t kept = TrimToCapacity(*policy_, residents, heats, admit_all);
  NoteLost(residents, std::span(heats).subspan(kept));
  residents.Reserve(kept);
  return kept;
}

// Showing the request may have cost the path its own pages, where they were worth least. The put
// counts on them, and would overwrite them.
void Evictor::ReviveOwn(const Path::Impl& path, uint32_t slot_bytes) noexcept {
  const SegmentTable::ReadSection section(log_.table());
  for (size_t i = 0; i < path.pages(); ++i) {
    if (!path.locations[i].found) continue;
    const Entry& entry = path.locations[i].entry;
    Segment* const segment = section.Find(entry.slot.segment);
    if (segment != nullptr && segment->slot_bytes() == slot_bytes)
      (void)ReviveIn(segment, entry.slot, entry.tag(path.fingerprints[i]));
  }
}

void Evictor::Unreserve(uint32_t slot_bytes, uint64_t pages) noexcept {
  const std::lock_guard lock(mutex_);
  ClassOf(slot_bytes).Unreserve(pages);
}

void Evictor::Placed(const Path::Impl& path, size_t page) noexcept {
  const Location& placed = path.locations[page];
  uint64_t child = 0;
  if (page + 1 < path.pages() && path.locations[page + 1].found)
    child = ChildWord(path.locations[page + 1].entry.slot);
  log_.StoreHeat(placed.entry.slot, placed.entry.tag(path.fingerprints[page]),
                 {HeatWord(path.request->heats[page]), child});
  if (page == 0 || !path.locations[page - 1].found) return;
  const Location& parent = path.locations[page - 1];
  log_.SetHeatWord(parent.entry.slot, parent.entry.tag(path.fingerprints[page - 1]), 1,
                   ChildWord(placed.entry.slot));
}

// ---- State -------------------------------------------------------------------------------------

std::string Evictor::Save() noexcept {
  ShowNoted();
  std::string state;
  const std::lock_guard lock(mutex_);
  policy_->Save(&state);
  return state;
}

Status Evictor::Load(std::string_view bytes) noexcept {
  const std::lock_guard lock(mutex_);
  // Room for the records first, or the oldest would be left out.
  for (const ClassStats& one : log_.Stats(false)) {
    ClassResidents& residents = ClassOf(one.slot_bytes);
    const ClassResidents::Session session(residents, options_.growable(one.slot_bytes));
  }
  SizeRecords();
  return policy_->Load(bytes);
}

void Evictor::OnRecovered() noexcept {
  const std::lock_guard lock(mutex_);
  const uint64_t unknown = HeatWord(policy_->UnknownHeat());
  log_.ForEachSlot([&](Segment&, uint32_t, Slot& slot) {
    if (slot.state() != SlotState::kLive && slot.state() != SlotState::kCondemned) return;
    // Replayed from the journal: nothing is known of it but that it was put last.
    if (slot.heat(0) == 0) slot.set_heat(0, unknown);
    policy_->OnRecovered(HeatOf(slot.heat(0)));
  });
}

uint64_t Evictor::memory_bytes() noexcept {
  const std::lock_guard lock(mutex_);
  return policy_->memory_bytes();
}

std::string Evictor::Explain() noexcept {
  const std::lock_guard lock(mutex_);
  return policy_->Explain();
}

}  // namespace lamina
