#include "engine/store/policy_file.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "tensorlog/numbered_file.h"

namespace lamina {
namespace {

constexpr std::string_view kSuffix = ".policy";
// Records of 10^8 pages; bounds what a damaged size can make a reader allocate.
constexpr uint64_t kMaxBytes = uint64_t{4} << 30;
constexpr size_t kPieceBytes = size_t{1} << 20;

// Reads the whole file in pieces, for its checksum, and keeps of the records the latest, which come
// last. The checksum of what is kept is right if that of the file is.
Result<std::string> ReadLatest(File& file, StateHeader header, uint64_t end,
                               uint64_t records) noexcept {
  const uint64_t dropped = (header.record_count - records) * kSavedRecordBytes;
  const uint64_t kept_from = end - records * kSavedRecordBytes;
  const uint64_t model_end = kept_from - dropped;
  std::string state;
  state.reserve(model_end + records * kSavedRecordBytes + kStateChecksumBytes);
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> sum(XXH3_createState(),
                                                                            XXH3_freeState);
  XXH3_64bits_reset(sum.get());
  std::vector<char> piece(kPieceBytes);
  for (uint64_t at = 0; at < end; at += piece.size()) {
    piece.resize(std::min<uint64_t>(piece.size(), end - at));
    LAMINA_RETURN_IF_ERROR(file.Read(at, std::as_writable_bytes(std::span(piece))));
    XXH3_64bits_update(sum.get(), piece.data(), piece.size());
    const auto keep = [&](uint64_t begin, uint64_t until) {
      begin = std::max(begin, at);
      until = std::min(until, at + piece.size());
      if (begin < until) state.append(piece.data() + (begin - at), until - begin);
    };
    keep(0, model_end);
    keep(kept_from, end);
  }
  uint64_t expected = 0;
  LAMINA_RETURN_IF_ERROR(file.Read(end, std::as_writable_bytes(std::span(&expected, 1))));
  const bool right = XXH3_64bits_digest(sum.get()) == expected;
  header.record_count = records;
  std::memcpy(state.data(), &header, sizeof header);
  const uint64_t checksum = XXH3_64bits(state.data(), state.size());
  PutFixed(&state, right ? checksum : ~checksum);
  return state;
}

}  // namespace

std::string PolicyFileName(uint64_t number) noexcept {
  return TenDigits(number) + std::string(kSuffix);
}

bool ParsePolicyFileName(std::string_view name, uint64_t* number) noexcept {
  return ParseNumberedFile(name, kSuffix, number);
}

Status WritePolicyFile(FileSystem& fs, const std::string& path, std::string_view state) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          fs.Open(path, {.write = true, .create = true, .truncate = true}));
  LAMINA_RETURN_IF_ERROR(file->Write(0, std::as_bytes(std::span(state))));
  return file->Sync();
}

Result<std::string> ReadPolicyFile(FileSystem& fs, const std::string& path,
                                   uint64_t most_records) noexcept {
  LAMINA_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, {}));
  LAMINA_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > kMaxBytes) {
    return Status::Corruption(path + ": has " + std::to_string(size) +
                              " bytes, more than any saved policy");
  }
  StateHeader header;
  if (size >= sizeof header + kStateChecksumBytes)
    LAMINA_RETURN_IF_ERROR(file->Read(0, std::as_writable_bytes(std::span(&header, 1))));
  const uint64_t records_begin = sizeof header + std::min(header.model_bytes, size);
  const uint64_t records_end = size - std::min<uint64_t>(size, kStateChecksumBytes);
  const bool fits = header.record_count <= kMaxBytes / kSavedRecordBytes &&
                    records_begin + header.record_count * kSavedRecordBytes == records_end;
  if (!fits || header.record_count <= most_records) {
    // Of what is not as long as it says, its beginning is enough to be refused by.
    const uint64_t beginning = sizeof header + kStateChecksumBytes;
    std::string state(fits ? size : std::min(size, beginning), '\0');
    LAMINA_RETURN_IF_ERROR(file->Read(0, std::as_writable_bytes(std::span(state))));
    return state;
  }
  return ReadLatest(*file, header, records_end, most_records);
}

}  // namespace lamina
