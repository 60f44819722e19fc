#include "engine/index/index_block.h"

#include <algorithm>
#include <cstring>

#include "engine/base/coding.h"

namespace lamina {
namespace {

constexpr size_t kOffsetBytes = sizeof(uint16_t);

// The first 8 bytes as a number that sorts as they do, as far as they go.
uint64_t PrefixOf(std::string_view bytes) noexcept {
  unsigned char padded[8] = {};
  std::memcpy(padded, bytes.data(), std::min(bytes.size(), sizeof padded));
  return __builtin_bswap64(LoadFixed<uint64_t>(padded));
}

// The position of a key among `size` separators, of which only [low, high) still need comparing:
// those before are below the key, those behind above it.
template <class SeparatorAt>
IndexPosition Search(size_t low, size_t high, size_t size, std::string_view key,
                     SeparatorAt separator) noexcept {
  while (low < high) {  // the first that is not below the key
    const size_t middle = low + (high - low) / 2;
    if (separator(middle) < key)
      low = middle + 1;
    else
      high = middle;
  }
  size_t end = low;
  while (end < size && separator(end) == key) ++end;
  return {low == 0 ? 0 : low - 1, end == 0 ? 0 : end - 1};
}

// Separators and offsets of one index block while it fills.
class IndexBlockWriter {
 public:
  explicit IndexBlockWriter(std::string* out) noexcept : out_(out) {}

  [[nodiscard]] bool Fits(std::string_view separator) const noexcept {
    return sizeof(IndexBlockHeader) + bytes_.size() + separator.size() +
               (offsets_.size() + 1) * kOffsetBytes <=
           kTableBlockBytes;
  }
  void Add(std::string_view separator) noexcept {
    offsets_.push_back(static_cast<uint16_t>(sizeof(IndexBlockHeader) + bytes_.size()));
    bytes_ += separator;
  }
  void Finish(uint64_t first_data_block) noexcept {
    IndexBlockHeader header{};
    header.count = static_cast<uint16_t>(offsets_.size());
    header.first_data_block = static_cast<uint32_t>(first_data_block);
    header.separators_end = static_cast<uint16_t>(sizeof header + bytes_.size());
    std::string block(kTableBlockBytes, '\0');
    std::memcpy(block.data(), &header, sizeof header);
    std::memcpy(block.data() + sizeof header, bytes_.data(), bytes_.size());
    const size_t offset_bytes = offsets_.size() * kOffsetBytes;
    std::memcpy(block.data() + kTableBlockBytes - offset_bytes, offsets_.data(), offset_bytes);
    out_->append(block);
    bytes_.clear();
    offsets_.clear();
  }
  [[nodiscard]] bool empty() const noexcept { return offsets_.empty(); }
  [[nodiscard]] size_t count() const noexcept { return offsets_.size(); }

 private:
  std::string* out_;
  std::string bytes_;
  std::vector<uint16_t> offsets_;
};

}  // namespace

std::string_view SeparatorBetween(std::string_view last, std::string_view first) noexcept {
  size_t same = 0;
  while (same < last.size() && same < first.size() && last[same] == first[same]) ++same;
  return first.substr(0, same + 1);
}

void IndexBuilder::Add(std::string_view separator) noexcept {
  bytes_ += separator;
  ends_.push_back(bytes_.size());
}

std::string_view IndexBuilder::Separator(size_t i) const noexcept {
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(bytes_).substr(begin, ends_[i] - begin);
}

IndexBuilder::Output IndexBuilder::Finish(size_t single_level_bytes) const noexcept {
  if (bytes_.size() > single_level_bytes) return FinishTwoLevels();
  Output output;
  for (size_t i = 0; i < count(); ++i) PutBytes(&output.top_index, Separator(i));
  return output;
}

IndexBuilder::Output IndexBuilder::FinishTwoLevels() const noexcept {
  Output output;
  IndexBlockWriter writer(&output.index_blocks);
  size_t first = 0;
  const auto finish_block = [&] {
    PutVarint(&output.top_index, writer.count());
    PutBytes(&output.top_index, Separator(first));
    first += writer.count();
    writer.Finish(first - writer.count());
  };
  for (size_t i = 0; i < count(); ++i) {
    if (!writer.Fits(Separator(i))) finish_block();
    writer.Add(Separator(i));
  }
  if (!writer.empty()) finish_block();
  return output;
}

Result<TopIndex> TopIndex::Parse(std::string_view payload, uint64_t data_blocks,
                                 uint64_t index_blocks) noexcept {
  const auto bad = [](std::string what) { return Status::Corruption("top index: " + what); };
  const bool two_levels = index_blocks != 0;
  const uint64_t children = two_levels ? index_blocks : data_blocks;
  // Each child takes at least a byte, so that `children` is bounded by what was read.
  if (children > payload.size() || payload.size() > UINT32_MAX)
    return bad(std::to_string(children) + " children in " + std::to_string(payload.size()) +
               " bytes");
  TopIndex index;
  index.prefixes_.reserve(children);
  index.ends_.reserve(children + 1);
  index.ends_.push_back(0);
  Decoder in(payload);
  uint64_t next_data_block = 0;
  for (uint64_t i = 0; i < children; ++i) {
    if (two_levels) {
      index.first_data_blocks_.push_back(next_data_block);
      const uint64_t count = in.Varint();
      if (count == 0 || count > data_blocks - next_data_block)
        return bad("child " + std::to_string(i) + " points outside the data blocks");
      next_data_block += count;
    }
    const std::string_view separator = in.Bytes();
    if (!in.ok()) return bad("cut short at child " + std::to_string(i));
    if (separator.size() > kMaxKeyBytes || separator.empty() != (i == 0) ||
        (i > 0 && separator < index.separator(i - 1)))
      return bad("separator out of order at child " + std::to_string(i));
    index.bytes_ += separator;
    index.ends_.push_back(static_cast<uint32_t>(index.bytes_.size()));
    index.prefixes_.push_back(PrefixOf(separator));
  }
  if (two_levels) {
    if (next_data_block != data_blocks) return bad("does not cover all data blocks");
    index.first_data_blocks_.push_back(data_blocks);
  }
  if (!in.done()) return bad(std::to_string(in.remaining()) + " bytes too many");
  index.bytes_.shrink_to_fit();
  index.first_data_blocks_.shrink_to_fit();
  return index;
}

IndexPosition TopIndex::Find(std::string_view key) const noexcept {
  const auto same_prefix = std::equal_range(prefixes_.begin(), prefixes_.end(), PrefixOf(key));
  return Search(static_cast<size_t>(same_prefix.first - prefixes_.begin()),
                static_cast<size_t>(same_prefix.second - prefixes_.begin()), size(), key,
                [this](size_t i) { return separator(i); });
}

size_t TopIndex::memory_bytes() const noexcept {
  return prefixes_.size() * sizeof(prefixes_[0]) + ends_.size() * sizeof(ends_[0]) + bytes_.size() +
         first_data_blocks_.size() * sizeof(first_data_blocks_[0]);
}

Result<IndexBlock> IndexBlock::Parse(std::span<const std::byte, kTableBlockBytes> block,
                                     uint64_t first_data_block, uint64_t end_data_block) noexcept {
  IndexBlockHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  const auto bad = [](const char* what) {
    return Status::Corruption(std::string("index block: ") + what);
  };
  if (header.count != end_data_block - first_data_block)
    return bad("count differs from the top index");
  if (header.first_data_block != first_data_block)
    return bad("points to other data blocks than the top index says");
  const size_t offset_bytes = header.count * kOffsetBytes;
  if (header.separators_end < sizeof header ||
      header.separators_end + offset_bytes > kTableBlockBytes)
    return bad("separators overlap their offsets");
  IndexBlock parsed;
  parsed.block_ = block.data();
  parsed.count_ = header.count;
  parsed.end_ = header.separators_end;
  parsed.first_data_block_ = first_data_block;
  size_t before = sizeof header;
  for (size_t i = 0; i < parsed.count_; ++i) {
    const size_t offset = parsed.OffsetOf(i);
    if (offset < before || offset > parsed.end_ || (i == 0 && offset != sizeof header))
      return bad("separator offset out of order");
    before = offset;
  }
  return parsed;
}

size_t IndexBlock::OffsetOf(size_t i) const noexcept {
  return LoadFixed<uint16_t>(block_ + kTableBlockBytes - (count_ - i) * kOffsetBytes);
}

std::string_view IndexBlock::separator(size_t i) const noexcept {
  const size_t begin = OffsetOf(i);
  const size_t end = i + 1 < count_ ? OffsetOf(i + 1) : end_;
  return {reinterpret_cast<const char*>(block_) + begin, end - begin};
}

IndexPosition IndexBlock::Find(std::string_view key) const noexcept {
  IndexPosition position =
      Search(0, count_, count_, key, [this](size_t i) { return separator(i); });
  position.child += first_data_block_;
  position.last += first_data_block_;
  return position;
}

}  // namespace lamina
