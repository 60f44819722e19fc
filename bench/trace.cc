#include "bench/trace.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace lamina::bench {
namespace {

using Json = nlohmann::json;

// Ids and counts: integers that are not negative. What the message calls the value is `what`.
Status ReadCount(const Json& value, const std::string& what, uint64_t* out) {
  if (!value.is_number_integer() || (value.is_number_integer() && !value.is_number_unsigned())) {
    return Status::InvalidArgument(what + " is " + value.dump() + ", expected an integer >= 0");
  }
  *out = value.get<uint64_t>();
  return Status::Ok();
}

Status ReadMember(const Json& object, const char* name, const std::string& where, uint64_t* out) {
  const auto member = object.find(name);
  if (member == object.end()) {
    return Status::InvalidArgument(where + ": \"" + name + "\" is missing");
  }
  return ReadCount(*member, where + ": \"" + name + "\"", out);
}

Status ReadBlocks(const Json& object, const std::string& where, std::vector<uint64_t>* blocks) {
  const auto ids = object.find("hash_ids");
  if (ids == object.end()) return Status::InvalidArgument(where + ": \"hash_ids\" is missing");
  if (!ids->is_array()) {
    return Status::InvalidArgument(where + ": \"hash_ids\" is not an array of block ids");
  }
  blocks->reserve(ids->size());
  for (const Json& id : *ids) {
    uint64_t block = 0;
    Status status =
        ReadCount(id, where + ": \"hash_ids\"[" + std::to_string(blocks->size()) + "]", &block);
    if (!status.ok()) return status;
    blocks->push_back(block);
  }
  return Status::Ok();
}

Result<Request> ReadRequest(const Json& object, const std::string& where) {
  if (!object.is_object()) {
    return Status::InvalidArgument(where + ": expected one JSON object a line");
  }
  Request request;
  const auto timestamp = object.find("timestamp");
  if (timestamp == object.end() || !timestamp->is_number()) {
    return Status::InvalidArgument(where + ": \"timestamp\" (a number, ms) is missing");
  }
  request.timestamp_ms = timestamp->get<double>();
  Status status = ReadMember(object, "input_length", where, &request.input_tokens);
  if (status.ok() && object.contains("output_length")) {
    status = ReadMember(object, "output_length", where, &request.output_tokens);
  }
  if (status.ok()) status = ReadBlocks(object, where, &request.blocks);
  if (!status.ok()) return status;
  return request;
}

}  // namespace

Result<Request> ParseRequest(std::string_view line, const std::string& where) {
  Json object;
  try {
    object = Json::parse(line);
  } catch (const Json::parse_error& error) {
    return Status::InvalidArgument(where + ": not JSON at column " + std::to_string(error.byte) +
                                   " (is the line cut off?)");
  }
  return ReadRequest(object, where);
}

Result<TraceReader> TraceReader::Open(const std::string& file) {
  errno = 0;
  std::ifstream stream(file);
  // A directory opens, and fails at the first read only.
  if (!stream || stream.peek() == std::ifstream::traits_type::eof()) {
    const std::string why = errno != 0 ? std::strerror(errno) : "it is empty";
    return Status::InvalidArgument("cannot read the trace " + file + ": " + why);
  }
  return TraceReader(file, std::move(stream));
}

Result<bool> TraceReader::Next(Request* request) {
  std::string line;
  while (std::getline(stream_, line)) {
    ++line_number_;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Result<Request> parsed = ParseRequest(line, file_ + ":" + std::to_string(line_number_));
    if (!parsed.ok()) return parsed.status();
    *request = std::move(*parsed);
    return true;
  }
  if (stream_.bad()) {
    return Status::IoError("cannot read " + file_ + " behind line " + std::to_string(line_number_));
  }
  return false;
}

Result<std::vector<Request>> LoadTrace(const std::string& file, size_t count) {
  Result<TraceReader> reader = TraceReader::Open(file);
  if (!reader.ok()) return reader.status();
  std::vector<Request> requests;
  while (count == 0 || requests.size() < count) {
    Request request;
    Result<bool> more = reader->Next(&request);
    if (!more.ok()) return more.status();
    if (!*more) break;
    requests.push_back(std::move(request));
  }
  if (requests.empty()) return Status::InvalidArgument(file + " holds no request");
  return requests;
}

}  // namespace lamina::bench
