#include "tensorlog/eviction/record_table.h"

#include <catch2/catch.hpp>
#include <list>
#include <map>

#include "tensorlog/eviction/recent_keys.h"
#include "tests/eviction/requests.h"

namespace lamina {
namespace {

// The same as a RecordTable, out of lists.
class Model {
 public:
  void Insert(uint64_t key, uint32_t bucket) {
    queues_[bucket].push_back(key);
    bucket_of_[key] = bucket;
  }
  void Remove(uint64_t key) {
    queues_[bucket_of_.at(key)].remove(key);
    bucket_of_.erase(key);
  }
  [[nodiscard]] bool Has(uint64_t key) const { return bucket_of_.contains(key); }
  [[nodiscard]] const std::list<uint64_t>& queue(uint32_t bucket) { return queues_[bucket]; }
  [[nodiscard]] size_t size() const { return bucket_of_.size(); }

 private:
  std::map<uint32_t, std::list<uint64_t>> queues_;
  std::map<uint64_t, uint32_t> bucket_of_;
};

void RequireSame(const RecordTable& table, Model* model) {
  REQUIRE(table.size() == model->size());
  RecordId oldest = kNoRecord;
  for (uint32_t bucket = 0; bucket < kAgeBuckets; ++bucket) {
    RecordId id = table.oldest(bucket);
    if (id != kNoRecord) oldest = id;
    for (const uint64_t key : model->queue(bucket)) {
      REQUIRE(id != kNoRecord);
      REQUIRE(table[id].key == key);
      REQUIRE(table.bucket_of(id) == bucket);
      REQUIRE(table.Find(key) == id);
      id = table.newer(id);
    }
    REQUIRE(id == kNoRecord);
  }
  REQUIRE(table.oldest() == oldest);
}

TEST_CASE("a record table agrees with lists after any sequence of changes") {
  const uint64_t seed = TestSeed();
  INFO("LAMINA_TEST_SEED=" << seed);
  SplitMix random(seed);
  RecordTable table(40);
  Model model;
  for (int step = 0; step < 20'000; ++step) {
    // Few keys that differ in their low bits, and as many that differ in their high ones.
    const uint64_t key = random.Below(2) == 0 ? random.Below(60) : uint64_t{random.Below(60)} << 40;
    const uint32_t bucket = random.Below(kAgeBuckets);
    const RecordId id = table.Find(key);
    REQUIRE((id != kNoRecord) == model.Has(key));
    if (id == kNoRecord) {
      if (table.size() == table.limit()) {
        model.Remove(table[table.oldest()].key);
        table.Remove(table.oldest());
      }
      const RecordId added = table.Insert(key, bucket);
      CHECK(table[added].heat == Heat{});
      table[added].heat.tick = 7;
      model.Insert(key, bucket);
    } else if (random.Below(2) == 0) {
      table.Remove(id);
      model.Remove(key);
    } else {
      table.Move(id, bucket);
      CHECK(table[id].heat.tick == 7);
      model.Remove(key);
      model.Insert(key, bucket);
    }
    if (step % 100 == 0) RequireSame(table, &model);
    if (random.Below(200) != 0) continue;
    const uint64_t limit = 5 + random.Below(60);
    while (table.size() > limit) {
      model.Remove(table[table.oldest()].key);
      table.Remove(table.oldest());
    }
    table.Resize(limit);
    REQUIRE(table.limit() == limit);
    RequireSame(table, &model);
  }
  RequireSame(table, &model);
}

TEST_CASE("a record table that becomes smaller gives its memory back and keeps every record") {
  RecordTable table(50'000);
  for (uint64_t key = 0; key < 50'000; ++key)
    table.Insert(key, static_cast<uint32_t>(key % kAgeBuckets));
  // From everywhere: what stays lies in all of it.
  for (uint64_t key = 0; key < 50'000; ++key)
    if (key % 5 != 0) table.Remove(table.Find(key));
  table.Resize(10'000);
  CHECK(table.memory_bytes() <= 10'000 * RecordTable::kBytesPerRecord);
  for (uint64_t key = 0; key < 50'000; ++key) {
    const RecordId id = table.Find(key);
    REQUIRE((id != kNoRecord) == (key % 5 == 0));
    if (id == kNoRecord) continue;
    REQUIRE(id < 10'000);
    REQUIRE(table.bucket_of(id) == key % kAgeBuckets);
  }
  table.Resize(20'000);
  for (uint64_t key = 60'000; key < 70'000; ++key) table.Insert(key, 0);
  CHECK(table.size() == 20'000);
}

TEST_CASE("a full record table takes the memory it says") {
  for (const uint64_t limit : std::initializer_list<uint64_t>{1, 3, 1000, 1025}) {
    RecordTable table(limit);
    REQUIRE(table.limit() == limit);
    for (uint64_t key = 0; key < limit; ++key) table.Insert(key, 0);
    CHECK(table.memory_bytes() <= limit * RecordTable::kBytesPerRecord);
  }
}

TEST_CASE("recent keys forget the one asked for longest ago") {
  RecentKeys recent(0, 1 << 20);
  const size_t limit = recent.table().limit();
  for (uint64_t key = 0; key < limit; ++key) CHECK(!recent.Touch(key));
  CHECK(recent.Touch(0));
  CHECK(!recent.Touch(limit));  // in the place of 1
  CHECK(recent.Touch(0));
  CHECK(!recent.Touch(1));
}

TEST_CASE("recent keys that must become fewer keep the latest") {
  RecentKeys recent(1000, 1 << 20);
  for (uint64_t key = 0; key < 1000; ++key) recent.Touch(key);
  recent.SetCapacity(100, 1 << 20);
  const size_t limit = recent.table().limit();
  REQUIRE(recent.table().size() == limit);
  for (uint64_t key = 1000 - limit; key < 1000; ++key) CHECK(recent.table().Find(key) != kNoRecord);
}

}  // namespace
}  // namespace lamina
