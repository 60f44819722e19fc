#include "tuner/journal.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "engine/base/coding.h"
#include "engine/base/status.h"
#include "tuner/decision_fields.h"
#include "tuner/journal_format.h"
#include "tuner/json_text.h"

namespace lamina::tuner {
namespace {

class Encoder {
 public:
  void Number(const char*, double value) noexcept {
    PutFixed(&out_, std::bit_cast<uint64_t>(value));
  }
  void Number(const char*, uint64_t value) noexcept { PutFixed(&out_, value); }
  void Number(const char*, uint32_t value) noexcept { PutFixed(&out_, value); }
  void Number(const char*, uint8_t value) noexcept { PutFixed(&out_, value); }
  void Number(const char*, bool value) noexcept { PutFixed<uint8_t>(&out_, value ? 1 : 0); }
  void Numbers(const char*, std::span<uint8_t> values) noexcept {
    for (const uint8_t value : values) PutFixed(&out_, value);
  }
  template <class E>
  void Enum(const char*, E value, E, const char* (*)(E) noexcept) noexcept {
    PutFixed(&out_, static_cast<uint8_t>(value));
  }
  template <class T>
  void Object(const char*, T& value) noexcept {
    DescribeFields(*this, value);
  }
  template <class T>
  void List(const char*, std::vector<T>& values, size_t most) noexcept {
    LAMINA_CHECK(values.size() <= most);
    PutFixed(&out_, static_cast<uint8_t>(values.size()));
    for (T& value : values) DescribeFields(*this, value);
  }
  void Levels(const char*, uint32_t count, std::span<LevelPrediction> levels) noexcept {
    LAMINA_CHECK(count <= levels.size());
    PutFixed(&out_, static_cast<uint8_t>(count));
    for (LevelPrediction& level : levels.first(count)) DescribeFields(*this, level);
  }
  void Shape(const char*, TreeShape& shape, const Prediction&) noexcept {
    DescribeFields(*this, shape);
  }
  const std::string& bytes() const noexcept { return out_; }

 private:
  std::string out_;
};

class FieldDecoder {
 public:
  explicit FieldDecoder(std::string_view bytes) noexcept : in_(bytes) {}

  void Number(const char*, double& value) noexcept {
    value = std::bit_cast<double>(in_.Fixed<uint64_t>());
  }
  void Number(const char*, uint64_t& value) noexcept { value = in_.Fixed<uint64_t>(); }
  void Number(const char*, uint32_t& value) noexcept { value = in_.Fixed<uint32_t>(); }
  void Number(const char*, uint8_t& value) noexcept { value = in_.Fixed<uint8_t>(); }
  void Number(const char*, bool& value) noexcept { value = Limited(1) != 0; }
  void Numbers(const char*, std::span<uint8_t> values) noexcept {
    for (uint8_t& value : values) value = in_.Fixed<uint8_t>();
  }
  template <class E>
  void Enum(const char*, E& value, E last, const char* (*)(E) noexcept) noexcept {
    value = static_cast<E>(Limited(static_cast<uint8_t>(last)));
  }
  template <class T>
  void Object(const char*, T& value) noexcept {
    DescribeFields(*this, value);
  }
  template <class T>
  void List(const char*, std::vector<T>& values, size_t most) noexcept {
    values.resize(Limited(most));
    for (T& value : values) DescribeFields(*this, value);
  }
  void Levels(const char*, uint32_t& count, std::span<LevelPrediction> levels) noexcept {
    count = static_cast<uint32_t>(Limited(levels.size()));
    for (LevelPrediction& level : levels.first(count)) DescribeFields(*this, level);
  }
  void Shape(const char*, TreeShape& shape, const Prediction&) noexcept {
    DescribeFields(*this, shape);
    if (!IsValid(shape)) in_range_ = false;
  }
  [[nodiscard]] bool done() const noexcept { return in_.done() && in_range_; }

 private:
  // One byte that must not exceed `most`; 0 when it does.
  size_t Limited(size_t most) noexcept {
    const uint8_t value = in_.Fixed<uint8_t>();
    if (value <= most) return value;
    in_range_ = false;
    return 0;
  }

  Decoder in_;
  bool in_range_ = true;
};

bool IsZero(std::span<const std::byte> bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

void AddWindow(const DecisionRecord& window, Aftermath* after) noexcept {
  const uint64_t operations = window.counters.operations();
  ++after->windows;
  after->operations += operations;
  if (after->operations == 0) return;
  const double share = static_cast<double>(operations) / static_cast<double>(after->operations);
  const auto move = [share](double* mean, double value) { *mean += share * (value - *mean); };
  move(&after->mean.predicted_s, window.measured.predicted_s);
  move(&after->mean.measured_s, window.measured.measured_s);
  move(&after->mean.put_predicted_s, window.measured.put_predicted_s);
  move(&after->mean.put_measured_s, window.measured.put_measured_s);
}

}  // namespace

std::string EncodeBlock(const DecisionRecord& record) noexcept {
  DecisionRecord copy = record;
  Encoder encoder;
  DescribeFields(encoder, copy);
  const std::string& payload = encoder.bytes();
  LAMINA_CHECK(payload.size() <= kJournalPayloadMax);
  const BlockHeader header = {.magic = kJournalMagic,
                              .version = kJournalVersion,
                              .sequence = record.sequence,
                              .payload_bytes = static_cast<uint32_t>(payload.size()),
                              .zero = 0};
  std::string block(kJournalBlockBytes, '\0');
  std::memcpy(block.data(), &header, sizeof(header));
  std::memcpy(block.data() + sizeof(header), payload.data(), payload.size());
  StoreFixed(block.data() + kJournalChecksumOffset,
             uint64_t{XXH3_64bits(block.data(), kJournalChecksumOffset)});
  return block;
}

Result<DecisionRecord> DecodeBlock(std::span<const std::byte> block) noexcept {
  const auto damaged = [](const std::string& what) {
    return Status::Corruption("tuner journal block: " + what);
  };
  if (block.size() != kJournalBlockBytes) {
    return damaged("has " + std::to_string(block.size()) + " bytes, not 8192");
  }
  BlockHeader header;
  std::memcpy(&header, block.data(), sizeof(header));
  if (header.magic != kJournalMagic) return damaged("wrong magic number");
  const uint64_t found = XXH3_64bits(block.data(), kJournalChecksumOffset);
  if (found != LoadFixed<uint64_t>(block.data() + kJournalChecksumOffset)) {
    return damaged("wrong checksum");
  }
  if (header.version != kJournalVersion) {
    return Status::NotSupported("tuner journal block: format version " +
                                std::to_string(header.version) + ", this build reads " +
                                std::to_string(kJournalVersion));
  }
  if (header.payload_bytes > kJournalPayloadMax) return damaged("payload runs past the block");
  FieldDecoder decoder(std::string_view(
      reinterpret_cast<const char*>(block.data()) + sizeof(header), header.payload_bytes));
  DecisionRecord record;
  DescribeFields(decoder, record);
  if (!decoder.done() || record.candidates.empty()) return damaged("fields do not decode");
  if (record.sequence != header.sequence || record.sequence == 0) {
    return damaged("number differs from its header's");
  }
  return record;
}

Journal::LoadReport Journal::Load(std::span<const std::byte> file) noexcept {
  LoadReport report;
  std::vector<DecisionRecord> found;
  for (size_t at = 0; at < file.size(); at += kJournalBlockBytes) {
    const auto block = file.subspan(at, std::min(kJournalBlockBytes, file.size() - at));
    if (IsZero(block)) {
      ++report.empty_blocks;
      continue;
    }
    Result<DecisionRecord> record = DecodeBlock(block);
    if (record.ok()) {
      found.push_back(std::move(record).value());
    } else {
      ++report.damaged_blocks;
    }
  }
  std::sort(found.begin(), found.end(), [](const DecisionRecord& a, const DecisionRecord& b) {
    return a.sequence < b.sequence;
  });
  if (found.size() > blocks_) found.erase(found.begin(), found.end() - blocks_);
  records_.assign(found.begin(), found.end());
  next_sequence_ = records_.empty() ? 1 : records_.back().sequence + 1;
  windows_written_ = records_.empty() ? 0 : records_.back().after.windows;
  report.records = static_cast<uint32_t>(records_.size());
  return report;
}

Journal::Write Journal::Append(DecisionRecord record) noexcept {
  record.sequence = next_sequence_++;
  Write write = WriteOf(record);
  windows_written_ = record.after.windows;
  records_.push_back(std::move(record));
  if (records_.size() > blocks_) records_.pop_front();
  return write;
}

Journal::Write Journal::WriteOf(const DecisionRecord& record) const noexcept {
  return {.file_offset = (record.sequence - 1) % blocks_ * kJournalBlockBytes,
          .block = EncodeBlock(record)};
}

std::vector<Journal::Write> Journal::Note(const DecisionRecord& window) noexcept {
  std::vector<Write> writes;
  const bool news = IsNews(window);
  if (!records_.empty()) {
    Aftermath& after = records_.back().after;
    AddWindow(window, &after);
    if (news || after.windows >= 2 * windows_written_) {
      if (auto write = Finish()) writes.push_back(std::move(*write));
    }
  }
  if (news) writes.push_back(Append(window));
  return writes;
}

std::optional<Journal::Write> Journal::Finish() noexcept {
  if (records_.empty() || records_.back().after.windows == windows_written_) return std::nullopt;
  windows_written_ = records_.back().after.windows;
  return WriteOf(records_.back());
}

bool Journal::IsNews(const DecisionRecord& record) const noexcept {
  if (records_.empty() || record.trigger != Trigger::kNone) return true;
  const DecisionRecord& last_record = records_.back();
  return record.outcome.verdict == Verdict::kSwitch ||
         record.outcome.verdict != last_record.outcome.verdict ||
         last_record.outcome.verdict == Verdict::kSwitch;
}

uint64_t Journal::file_bytes() const noexcept { return uint64_t{blocks_} * kJournalBlockBytes; }

std::string Journal::ToJson(size_t limit) const noexcept {
  JsonText json;
  json.Open("", '{');
  json.Open("decisions", '[');
  for (auto record = records_.rbegin(); record != records_.rend() && limit > 0; ++record, --limit) {
    json.Raw("", tuner::ToJson(*record));
  }
  json.Close(']');
  json.Close('}');
  return json.text();
}

}  // namespace lamina::tuner
