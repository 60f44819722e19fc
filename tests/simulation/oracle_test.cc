// What the oracle still holds a store to when a sync of tensors has failed.
#include "tests/simulation/oracle.h"

#include <catch2/catch.hpp>

namespace lamina::simulation {
namespace {

constexpr PageId kPage = 7;

// As a put that was acknowledged, with `durable` as the store has promised.
void Put(Oracle* oracle, bool durable) {
  oracle->Putting(kPage);
  oracle->Acknowledged(kPage, {.tag = 1, .slot = {1, 0}, .durable = durable});
}

TEST_CASE("a sync of a segment that fails ends the promise of a page that is not durable") {
  const bool lossy = GENERATE(false, true);
  Oracle oracle;
  Put(&oracle, false);
  REQUIRE(oracle.Promised(kPage));
  oracle.SyncFailed(lossy);
  CHECK_FALSE(oracle.Promised(kPage));
  // The store may give the page up at any time until it is opened again, though a put finds it.
  Put(&oracle, false);
  CHECK_FALSE(oracle.Promised(kPage));
  oracle.Opened();
  Put(&oracle, false);
  CHECK(oracle.Promised(kPage));
}

TEST_CASE("a sync of a segment that fails leaves a durable page promised") {
  const bool lossy = GENERATE(false, true);
  const bool flushed = GENERATE(false, true);
  Oracle oracle;
  Put(&oracle, !flushed);
  if (flushed) oracle.Flushed();
  oracle.SyncFailed(lossy);
  CHECK(oracle.Promised(kPage));
  oracle.PowerCut();
  CHECK(oracle.Promised(kPage));
}

TEST_CASE("only a failed sync that lost writes makes a later flush doubtful") {
  const bool lossy = GENERATE(false, true);
  Oracle oracle;
  Put(&oracle, false);
  oracle.SyncFailed(lossy);
  oracle.Opened();
  Put(&oracle, false);
  oracle.Flushed();
  CHECK(oracle.Promised(kPage));
  oracle.PowerCut();
  CHECK(oracle.Promised(kPage) == !lossy);
}

}  // namespace
}  // namespace lamina::simulation
