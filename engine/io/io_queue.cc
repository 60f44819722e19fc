#include "engine/io/io_queue.h"

#include "engine/io/file_system.h"
#include "engine/io/io_error.h"

namespace lamina {

Status StatusOf(const IoRequest& request) noexcept {
  if (request.error == 0) return Status::Ok();
  const std::string& path = request.file->path();
  if (request.error == IoRequest::kEndOfFile)
    return EndOfFileStatus(path, request.offset, request.bytes, request.transferred);
  return TransferStatus(request.error, request.write ? "write" : "read", path, request.offset,
                        request.bytes);
}

}  // namespace lamina
