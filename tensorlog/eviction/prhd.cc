#include "tensorlog/eviction/prhd.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace lamina {
namespace {

constexpr uint64_t kLeastRecords = 20000;
constexpr uint64_t kRecordsPerPage = 4;
// A page used by so many more requests than its path had turns is shared by many paths.
constexpr uint32_t kHotUses = 10;
// How far from an earlier request's end its continuation may start: the last, partial block is
// replaced by a full one, and two for what templates append.
constexpr uint32_t kContinuationTail = 2;
// A first page used more often is a prompt that many begin with, not a conversation.
constexpr uint32_t kContinuationUses = 3;
// Saves writes that gain almost nothing; measured: no hits lost up to 1.2.
constexpr double kAdmissionMargin = 1.1;

// Ages are differences of 32-bit ticks.
constexpr uint32_t kOldest = uint32_t{1} << 31;
// A new gap counts half, the gaps before it the other half.
constexpr double kGapMemory = 0.5;

enum Feature : uint32_t { kTurn, kNewUnits, kUnits, kKnownAge, kShared, kLast };

constexpr uint32_t BinIn(uint64_t value, std::initializer_list<uint32_t> thresholds) noexcept {
  uint32_t bin = 0;
  for (uint32_t threshold : thresholds) bin += value >= threshold ? 1 : 0;
  return bin;
}

constexpr FeatureBins Bin(Feature feature, uint32_t bin) noexcept { return bin << (4 * feature); }

// A gap as heats hold it, smoothed with the one before (0: none).
uint32_t GapCode(uint32_t ticks, uint32_t before) noexcept {
  double octaves = std::log2(std::max(1.0, static_cast<double>(ticks) / kFirstAge));
  if (before != 0 && before != kHotGap)
    octaves = (1 - kGapMemory) * octaves + kGapMemory * (before - 1) / 4;
  return 1 + static_cast<uint32_t>(std::clamp(std::lround(4 * octaves), 0L, long{kHotGap} - 2));
}

uint64_t RecordLimit(uint64_t capacity_pages, uint64_t record_bytes) noexcept {
  const uint64_t wanted =
      capacity_pages + std::max(kLeastRecords, kRecordsPerPage * capacity_pages);
  return std::min(wanted, record_bytes / RecordTable::kBytesPerRecord);
}

}  // namespace

Prhd::Prhd(const PolicyOptions& options) noexcept
    : SampledPolicy(options.seed),
      records_(RecordLimit(options.capacity_pages, options.record_bytes)) {}

double Prhd::admission_margin() const noexcept { return kAdmissionMargin; }

double Prhd::Worth(const Heat& heat) const noexcept {
  return model_.Worth(heat.bits, AgeOf(heat.tick));
}

uint64_t Prhd::memory_bytes() const noexcept {
  return sizeof *this + records_.memory_bytes() + model_.memory_bytes() +
         units_.capacity() * sizeof(Unit);
}

Heat Prhd::UnknownHeat() const noexcept { return {static_cast<uint32_t>(clock_), Pack({})}; }

void Prhd::OnRequest(const RequestShape& shape, std::span<RequestPage> pages) noexcept {
  if (pages.empty()) return;
  EndRequest();
  SplitIntoUnits(shape, pages);
  for (Unit& unit : units_) LookUp(&unit, pages[unit.end - 1]);
  PathView path = shape.flat ? PathView() : ViewPath(pages);
  const size_t count = units_.size();
  clock_ += count;
  // The deepest first: it is the oldest of the request's records.
  for (size_t u = count; u-- > 0;) {
    const Unit& unit = units_[u];
    if (shape.flat) path = ViewFlat(unit);
    const Heat heat = Touch(unit, path, count - 1 - u, !shape.flat && u + 1 == count);
    for (size_t i = unit.first; i < unit.end; ++i) {
      pages[i].seen = pages[i].readable || unit.known;
      pages[i].heat = heat;
    }
  }
  unsettled_ = unended_ = count;
}

// Learns, which no worth depends on before the model is renewed: when this happens does not matter.
void Prhd::Settle() noexcept {
  if (std::exchange(unsettled_, 0) > 0) AgeRecords();
}

// Renews the model, if it is time: between two requests, whenever they were settled, so that stores
// that see the same requests agree.
void Prhd::EndRequest() noexcept {
  Settle();
  if (unended_ > 0) model_.EndRequest(std::exchange(unended_, 0), clock_);
}

// Records whose bucket is over are moved to the next one, having taught that nothing came. Those of
// the last are forgotten before their age would no longer fit a tick.
void Prhd::AgeRecords() noexcept {
  for (uint32_t bucket = 0; bucket < kAgeBuckets; ++bucket) {
    const bool last = bucket + 1 == kAgeBuckets;
    const uint32_t end = last ? kOldest : StartOf(bucket + 1);
    for (;;) {
      const RecordId id = records_.oldest(bucket);
      if (id == kNoRecord) break;
      const Record& record = records_[id];
      if (AgeOf(record.heat.tick) < end) break;
      if (last) {
        LearnEnd(id, false);
        records_.Remove(id);
        continue;
      }
      Watch(id, -1);
      model_.Learn(record.features, record.heat.bits, bucket, WidthOf(bucket), false);
      records_.Move(id, bucket + 1);
      Watch(id, 1);
    }
  }
}

void Prhd::SplitIntoUnits(const RequestShape& shape, std::span<const RequestPage> pages) noexcept {
  const size_t step = shape.flat ? 1 : std::max<uint32_t>(shape.pages_per_unit, 1);
  units_.clear();
  for (size_t first = 0; first < pages.size(); first += step) {
    Unit unit;
    unit.first = first;
    unit.end = std::min(first + step, pages.size());
    unit.key = pages[unit.end - 1].key;
    units_.push_back(unit);
  }
}

void Prhd::LookUp(Unit* unit, const RequestPage& last_page) const noexcept {
  const RecordId id = records_.Find(unit->key);
  if (id == kNoRecord && !last_page.readable) return;
  const Heat heat = id == kNoRecord ? last_page.heat : records_[id].heat;
  unit->known = true;
  unit->old = Unpack(heat.bits);
  unit->age = AgeOf(heat.tick);
}

// An earlier request may have ended inside the unit.
void Prhd::FindGrown(Unit* unit, std::span<const RequestPage> pages) const noexcept {
  for (size_t i = unit->end - 1; i-- > unit->first;) {
    const RecordId id = records_.Find(pages[i].key);
    if (id == kNoRecord) continue;
    unit->known = true;
    unit->grown = true;
    unit->grown_from = pages[i].key;
    unit->old = Unpack(records_[id].heat.bits);
    unit->age = AgeOf(records_[id].heat.tick);
    return;
  }
}

Prhd::PathView Prhd::ViewPath(std::span<const RequestPage> pages) noexcept {
  const size_t count = units_.size();
  size_t known = count;
  while (known > 0 && !units_[known - 1].known) --known;
  if (known < count) FindGrown(&units_[known], pages);
  // A unit that has grown counts as new, as a block does that was not full before.
  size_t deepest = known;  // a count: units up to the one that tells how the path was used last
  if (known < count && units_[known].grown) ++deepest;

  PathView path;
  if (deepest > 0) {
    const Unit& end = units_[deepest - 1];
    if (end.old.tail <= kContinuationTail && (deepest > 1 || end.old.uses <= kContinuationUses)) {
      path.turn = std::min(end.old.turn + 1, kMaxTurn);
      path.gap = GapCode(end.age, end.old.gap);
    }
    path.bins |= Bin(kKnownAge, 1 + BinIn(end.age, {24, 72, 168, 360, 1512, 6120, 24552}));
  }
  path.bins |= Bin(kTurn, BinIn(path.turn, {1, 2, 3, 4, 6, 9, 14})) |
               Bin(kNewUnits, BinIn(count - known, {1, 2, 3, 5, 8, 16, 32, 64})) |
               Bin(kUnits, BinIn(count, {2, 4, 8, 16, 32, 64, 128}));
  return path;
}

// A page of its own has no path; the time since its last use is its gap.
Prhd::PathView Prhd::ViewFlat(const Unit& unit) noexcept {
  PathView path;
  if (unit.known) path.gap = GapCode(unit.age, unit.old.gap);
  return path;
}

Heat Prhd::Touch(const Unit& unit, const PathView& path, size_t tail, bool last) noexcept {
  if (unit.grown) {
    const RecordId id = records_.Find(unit.grown_from);
    if (id != kNoRecord) {
      LearnEnd(id, true);
      records_.Remove(id);
    }
  }
  // Looked up again: making room for a deeper unit may have dropped it.
  RecordId id = records_.Find(unit.key);
  if (id == kNoRecord) {
    MakeRoom();
    id = records_.Insert(unit.key, 0);
  } else {
    LearnEnd(id, true);
    records_.Move(id, 0);
  }

  HeatFields heat;
  heat.turn = path.turn;
  heat.tail = static_cast<uint32_t>(std::min<size_t>(tail, kMaxTail));
  heat.uses = unit.known ? unit.old.uses + 1 : 1;
  // Where turns are counted no further, uses are not either: their difference says who shares.
  if (unit.known && path.turn == kMaxTurn) heat.uses = std::max(unit.old.uses, 1u);
  const uint32_t shared = heat.uses > heat.turn ? heat.uses - heat.turn : 0;
  heat.gap = shared >= kHotUses ? kHotGap : path.gap;
  const FeatureBins bins =
      path.bins | Bin(kShared, BinIn(shared, {1, 2, 3, 5, 9, 33})) | Bin(kLast, last ? 1 : 0);
  heat.level = model_.LevelOf(bins);

  Record& record = records_[id];
  record.heat = {static_cast<uint32_t>(clock_), Pack(heat)};
  record.features = bins;
  Watch(id, 1);
  return record.heat;
}

// What the time since a record was put into its bucket teaches; it is not watched from here on.
void Prhd::LearnEnd(RecordId id, bool hit) noexcept {
  Watch(id, -1);
  const Record& record = records_[id];
  const uint32_t bucket = records_.bucket_of(id);
  const double ticks = std::max(0.0, AgeOf(record.heat.tick) - kBucketStart[bucket]);
  model_.Learn(record.features, record.heat.bits, bucket, ticks, hit);
}

void Prhd::MakeRoom() noexcept {
  if (records_.size() < records_.limit()) return;
  const RecordId oldest = records_.oldest();
  LearnEnd(oldest, false);
  records_.Remove(oldest);
}

void Prhd::Watch(RecordId id, int sign) noexcept {
  const Record& record = records_[id];
  // The whole tick; a heat has its low half.
  const uint64_t tick = clock_ - AgeOf(record.heat.tick);
  model_.Watch(record.heat.bits, tick, records_.bucket_of(id), sign);
}

// The newest records that fit stay.
void Prhd::SetCapacity(uint64_t capacity_pages, uint64_t record_bytes) noexcept {
  EndRequest();
  const uint64_t limit = RecordTable::LimitOf(RecordLimit(capacity_pages, record_bytes));
  while (records_.size() > limit) {
    const RecordId oldest = records_.oldest();
    LearnEnd(oldest, false);
    records_.Remove(oldest);
  }
  if (limit != records_.limit()) records_.Resize(limit);
}

void Prhd::Save(std::string* out) noexcept {
  EndRequest();
  StateHeader header;
  header.kind = static_cast<uint32_t>(PolicyKind::kPrhd);
  header.clock = clock_;
  header.random = random_.state();
  std::string model;
  model_.Save(&model);
  AppendState(header, model, records_, out);
}

Status Prhd::Load(std::string_view bytes) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const SavedState state, ParseState(bytes, PolicyKind::kPrhd));
  HazardModel model;
  LAMINA_RETURN_IF_ERROR(model.Load(state.model));
  RecordTable records(records_.limit());
  const uint64_t skipped =
      state.header.record_count - std::min<uint64_t>(state.header.record_count, records.limit());
  uint32_t last_age = UINT32_MAX;
  for (uint64_t i = 0; i < state.header.record_count; ++i) {
    const SavedRecord saved = SavedRecordAt(state, i);
    const uint32_t age = static_cast<uint32_t>(state.header.clock) - saved.tick;
    if (age > last_age || age > state.header.clock || !HazardModel::Legal(saved.features) ||
        records.Find(saved.key) != kNoRecord)
      return Status::Corruption("eviction state: record " + std::to_string(i) + " is illegal");
    last_age = age;
    if (i < skipped) continue;
    const uint32_t bucket = BucketOf(age);
    Record& record = records[records.Insert(saved.key, bucket)];
    record.heat = {saved.tick, saved.heat_bits};
    record.features = saved.features;
    model.Watch(saved.heat_bits, state.header.clock - age, bucket, 1);
  }
  clock_ = state.header.clock;
  unsettled_ = unended_ = 0;
  random_ = SplitMix(state.header.random);
  records_ = std::move(records);
  model_ = std::move(model);
  return Status::Ok();
}

void Prhd::OnRecovered(const Heat& heat) noexcept {
  const auto ahead = static_cast<int32_t>(heat.tick - static_cast<uint32_t>(clock_));
  if (ahead > 0) clock_ += static_cast<uint32_t>(ahead);
}

std::string Prhd::Explain() const noexcept {
  std::string out = "{\"policy\": \"prhd\", \"clock_units\": " + std::to_string(clock_) +
                    ", \"records\": " + std::to_string(records_.size()) +
                    ", \"records_limit\": " + std::to_string(records_.limit()) + ", ";
  out += model_.Explain();
  return out + "}";
}

}  // namespace lamina
