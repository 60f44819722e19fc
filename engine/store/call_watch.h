// How an asynchronous call follows, and steers, the operation that serves it.
#ifndef LAMINA_ENGINE_STORE_CALL_WATCH_H_
#define LAMINA_ENGINE_STORE_CALL_WATCH_H_

#include <cstddef>

#include "engine/lamina.h"

namespace lamina {

// Pages count from the call's first. Called on the thread that serves the call.
class CallWatch {
 public:
  virtual ~CallWatch() = default;
  // The page's buffers are about to be used. False: nobody wants it any more, give it up as
  // kCancelled. May be asked again for a page that has ended: it is read once more.
  virtual bool Begin(size_t page) noexcept = 0;
  // They are not used any more, unless Begin is asked again.
  virtual void End(size_t page) noexcept = 0;
  // What has become of the page, for good; not kPending. Its buffers are not used any more.
  virtual void Decided(size_t page, PageState state) noexcept = 0;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_CALL_WATCH_H_
