#include <xxhash.h>

#include <cstring>
#include <string>

#include "tensorlog/eviction/state_format.h"

namespace lamina {

void AppendState(StateHeader header, std::string_view model, const RecordTable& records,
                 std::string* out) noexcept {
  const size_t start = out->size();
  header.model_bytes = model.size();
  header.record_count = records.size();
  out->reserve(start + sizeof header + model.size() + header.record_count * kSavedRecordBytes +
               kStateChecksumBytes);
  out->append(reinterpret_cast<const char*>(&header), sizeof header);
  out->append(model);
  for (uint32_t bucket = kAgeBuckets; bucket-- > 0;) {
    for (RecordId id = records.oldest(bucket); id != kNoRecord; id = records.newer(id)) {
      const Record& record = records[id];
      PutFixed(out, record.key);
      PutFixed(out, record.heat.tick);
      PutFixed(out, record.heat.bits);
      PutFixed(out, record.features);
    }
  }
  PutFixed(out, static_cast<uint64_t>(XXH3_64bits(out->data() + start, out->size() - start)));
}

Result<SavedState> ParseState(std::string_view bytes, PolicyKind kind) noexcept {
  const auto corrupt = [](const std::string& what) {
    return Status::Corruption("eviction state: " + what);
  };
  SavedState state;
  if (bytes.size() < sizeof state.header + kStateChecksumBytes)
    return corrupt(std::to_string(bytes.size()) + " bytes are too few");
  std::memcpy(&state.header, bytes.data(), sizeof state.header);
  const StateHeader& header = state.header;
  if (header.magic != kStateMagic) return corrupt("wrong magic number");
  if (header.version != kStateVersion)
    return Status::NotSupported("eviction state: format version " + std::to_string(header.version) +
                                ", this build reads " + std::to_string(kStateVersion));
  const size_t body = bytes.size() - sizeof header - kStateChecksumBytes;
  if (header.model_bytes > body ||
      header.record_count != (body - header.model_bytes) / kSavedRecordBytes ||
      (body - header.model_bytes) % kSavedRecordBytes != 0)
    return corrupt("its length is not what its header says");
  const size_t checked = bytes.size() - kStateChecksumBytes;
  if (XXH3_64bits(bytes.data(), checked) != LoadFixed<uint64_t>(bytes.data() + checked))
    return corrupt("wrong checksum");
  if (header.kind != static_cast<uint32_t>(kind))
    return Status::NotSupported("eviction state: it is another policy's");
  state.model = bytes.substr(sizeof header, header.model_bytes);
  state.records =
      bytes.substr(sizeof header + header.model_bytes, header.record_count * kSavedRecordBytes);
  return state;
}

SavedRecord SavedRecordAt(const SavedState& state, uint64_t i) noexcept {
  const char* at = state.records.data() + i * kSavedRecordBytes;
  return {LoadFixed<uint64_t>(at), LoadFixed<uint32_t>(at + 8), LoadFixed<uint32_t>(at + 12),
          LoadFixed<uint32_t>(at + 16)};
}

}  // namespace lamina
