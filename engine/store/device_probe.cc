#include "engine/store/device_probe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

#include "engine/index/aligned_bytes.h"

namespace lamina {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLargeBytes = size_t{1} << 20;
constexpr size_t kLargeDepth = 4;
constexpr size_t kSmallBytes = 4096;
constexpr size_t kSmallDepth = 32;
constexpr size_t kMostReads = 4096;  // of 4 KiB, each kind

double SecondsSince(Clock::time_point start) noexcept {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class DeviceProbe {
 public:
  DeviceProbe(FileSystem& fs, const DeviceProbeLimits& limits) noexcept
      : fs_(fs), limits_(limits), memory_(NewAlignedBytes(kLargeDepth * kLargeBytes)) {
    // What a drive that compresses would not shrink.
    uint64_t state = 1;
    for (size_t at = 0; at < kLargeDepth * kLargeBytes; at += sizeof(uint64_t)) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      std::memcpy(memory_.get() + at, &state, sizeof(state));
    }
  }

  Status Run(File& file, tuner::DeviceModel* model) noexcept {
    file_ = &file;
    const uint64_t bytes = limits_.file_bytes;
    LAMINA_RETURN_IF_ERROR(file.Allocate(bytes));
    LAMINA_ASSIGN_OR_RETURN(queue_, fs_.NewQueue(kSmallDepth));
    const auto sequential = [&](bool write) {
      return [=](size_t i) { return Request{write, i * kLargeBytes, kLargeBytes}; };
    };
    const auto anywhere = [&](size_t i) {
      const uint64_t blocks = bytes / kSmallBytes;
      return Request{false, (i * 2654435761u + 17) % blocks * kSmallBytes, kSmallBytes};
    };
    // The first write into allocated space is slower than any later one.
    const size_t large = bytes / kLargeBytes;
    LAMINA_ASSIGN_OR_RETURN(Measured done, Move(large, kLargeDepth, sequential(true)));
    LAMINA_ASSIGN_OR_RETURN(done, Move(large, kLargeDepth, sequential(true)));
    if (done.requests > 0) model->write_bytes_per_s = done.bytes / done.seconds;
    LAMINA_ASSIGN_OR_RETURN(done, Move(large, kLargeDepth, sequential(false)));
    if (done.requests > 0) model->read_bytes_per_s = done.bytes / done.seconds;
    LAMINA_ASSIGN_OR_RETURN(done, Move(kMostReads, 1, anywhere));
    if (done.requests > 0) model->read_latency_s = done.seconds / done.requests;
    LAMINA_ASSIGN_OR_RETURN(done, Move(kMostReads, kSmallDepth, anywhere));
    if (done.requests > 0) model->read_device_s = done.seconds / done.requests;
    return Status::Ok();
  }

 private:
  static constexpr int kParts = 5;
  struct Request {
    bool write = false;
    uint64_t offset = 0;
    size_t bytes = 0;
  };
  struct Measured {
    double requests = 0;
    double bytes = 0;
    double seconds = 0;
  };

  // Up to `count` requests, `depth` at a time, as long as this part's share of the time lasts.
  template <class RequestOf>
  Result<Measured> Move(size_t count, size_t depth, const RequestOf& request_of) noexcept {
    std::vector<IoRequest> requests(depth);
    std::vector<iovec> vectors(depth);
    Status status;
    Measured measured;
    size_t next = 0;
    const auto start = Clock::now();
    const auto deadline = start + limits_.time / kParts;
    const auto submit = [&](size_t i) {
      const Request wanted = request_of(next++);
      vectors[i] = {memory_.get() + i * wanted.bytes, wanted.bytes};
      requests[i] = {.file = file_,
                     .write = wanted.write,
                     .offset = wanted.offset,
                     .vectors = &vectors[i],
                     .vector_count = 1,
                     .bytes = wanted.bytes};
      queue_->Submit(&requests[i]);
    };
    for (size_t i = 0; i < std::min(count, depth); ++i) submit(i);
    while (IoRequest* done = queue_->Wait()) {
      if (status.ok()) status = StatusOf(*done);
      measured.requests += 1;
      measured.bytes += static_cast<double>(done->bytes);
      if (next < count && status.ok() && Clock::now() < deadline)
        submit(static_cast<size_t>(done - requests.data()));
    }
    measured.seconds = std::max(SecondsSince(start), 1e-9);
    LAMINA_RETURN_IF_ERROR(status);
    return measured;
  }

  FileSystem& fs_;
  const DeviceProbeLimits limits_;
  const AlignedBytes memory_;
  File* file_ = nullptr;
  std::unique_ptr<IoQueue> queue_;
};

struct NamedNumber {
  std::string_view name;
  double tuner::DeviceModel::*number;
};
constexpr std::array<NamedNumber, 4> kNumbers = {{
    {"read_latency_s", &tuner::DeviceModel::read_latency_s},
    {"read_device_s", &tuner::DeviceModel::read_device_s},
    {"read_bytes_per_s", &tuner::DeviceModel::read_bytes_per_s},
    {"write_bytes_per_s", &tuner::DeviceModel::write_bytes_per_s},
}};

}  // namespace

Result<tuner::DeviceModel> MeasureDevice(FileSystem& fs, const std::string& directory,
                                         const DeviceProbeLimits& limits) noexcept {
  const std::string path = directory + "/" + kDeviceProbeFileName;
  tuner::DeviceModel model;
  Status status;
  {
    DeviceProbe probe(fs, limits);
    LAMINA_ASSIGN_OR_RETURN(
        const auto file,
        fs.Open(path, FileOpen{.write = true, .create = true, .direct = true, .truncate = true}));
    status = probe.Run(*file, &model);
  }
  const Status removed = fs.Remove(path);
  if (status.ok()) status = removed;
  LAMINA_RETURN_IF_ERROR(status);
  if (!tuner::IsValid(model))
    return Status::IoError(path + ": the device's speed could not be measured");
  return model;
}

std::string DeviceModelText(const tuner::DeviceModel& model) noexcept {
  std::string text;
  for (const NamedNumber& one : kNumbers) {
    char digits[40];
    const auto end = std::to_chars(digits, digits + sizeof(digits), model.*one.number).ptr;
    if (!text.empty()) text += ';';
    text.append(one.name).append("=").append(digits, end);
  }
  return text;
}

std::optional<tuner::DeviceModel> ParseDeviceModel(std::string_view text) noexcept {
  const std::string_view whole = text;
  tuner::DeviceModel model;
  for (const NamedNumber& one : kNumbers) {
    const size_t end = text.find(';');
    std::string_view field = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!field.starts_with(one.name)) return std::nullopt;
    field.remove_prefix(one.name.size());
    if (!field.starts_with('=')) return std::nullopt;
    field.remove_prefix(1);
    const auto parsed =
        std::from_chars(field.data(), field.data() + field.size(), model.*one.number);
    if (parsed.ec != std::errc() || parsed.ptr != field.data() + field.size()) return std::nullopt;
  }
  if (DeviceModelText(model) != whole || !tuner::IsValid(model)) return std::nullopt;
  return model;
}

}  // namespace lamina
