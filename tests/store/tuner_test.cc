// The store runs the tuner: what it counts, when it follows, and what survives.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "engine/store/device_probe.h"
#include "engine/store/index_tuner.h"
#include "tests/store/quiet_store.h"

namespace lamina::testing {
namespace {

using nlohmann::json;

constexpr size_t kPage = 4096;
constexpr uint64_t kWindow = 2000;
// A small memtable and little memory, so that there is a tree.
constexpr char kSmallTrees[] = "capacity_bytes=2G;memory_bytes=256M;memtable_bytes=64K;";
constexpr char kJournal[] = "/store/TUNER-JOURNAL";

// A drive whose reads are dear, or whose writes are: either way one shape is clearly the best.
tuner::DeviceModel SlowReads() { return {.read_device_s = 1e-3, .write_bytes_per_s = 3e9}; }
tuner::DeviceModel SlowWrites() {
  return {.read_device_s = 1e-9, .read_bytes_per_s = 1e6, .write_bytes_per_s = 1e6};
}

// A store of entries without payloads, in paths of a stem each.
class TunedStore {
 public:
  explicit TunedStore(const std::string& options, const tuner::DeviceModel& device = SlowReads())
      : store_(kSmallTrees + options, [device](StoreEnvironment* environment) {
          environment->device_model = device;
          environment->tuner_window_operations = kWindow;
        }) {}

  void Put(uint32_t paths) {
    for (uint32_t i = 0; i < paths; ++i) {
      TestPath path = PathNumber(paths_++);
      REQUIRE(*impl().PutEntries(*path.path->impl(), 0, 64, kPage) == 64);
      Work();
    }
  }
  // One page each, of which `present` of a hundred are there.
  void LookUp(uint64_t pages, uint32_t present = 50) {
    for (uint64_t i = 0; i < pages; ++i) {
      const bool there = random_() % 100 < present;
      TestPath path = PathNumber(static_cast<uint32_t>(random_() % paths_) + (there ? 0 : kNever));
      // As if the eviction policy had been shown it: it would look for the pages before as well.
      path.path->impl()->request = std::make_shared<ShownRequest>();
      path.path->impl()->request->noted = true;
      REQUIRE(CountOk(ProbePages(store_.store(), path, random_() % 64, 1)) == (there ? 1 : 0));
      Work();
    }
  }
  void Work() {
    while (store_.scheduler().RunOne()) {
    }
  }
  void Reopen(const std::function<void()>& meanwhile = [] {}) { store_.Reopen(meanwhile); }
  void SetOptions(const std::string& options) { store_.SetOptions(kSmallTrees + options); }
  json Explained() { return json::parse(store_.store().Explain())["tuner"]; }
  json Stats() { return json::parse(store_.Stats()); }
  Store::Impl& impl() { return *store_.store().impl(); }
  SimulatedDisk& disk() { return store_.disk(); }
  std::string ShapeText() { return impl().shape().ToString(); }

 private:
  static constexpr uint32_t kNever = 1 << 20;
  TestPath PathNumber(uint32_t number) {
    return MakePath(store_.store(), "model", Tokens(number * 1000, 64));
  }
  QuietStore store_;
  std::mt19937 random_{7};
  uint32_t paths_ = 0;
};

TEST_CASE("with the tuner on the index gets the shape that its use asks for",
          "[simulated][shape]") {
  SECTION("lookups on a drive of slow reads: one run a level at the last") {
    TunedStore store("compaction=tiering;size_ratio=8;tuner=off;filter_bits=1", SlowReads());
    store.Put(200);
    const size_t runs_before = store.impl().CurrentView()->runs.size();
    store.SetOptions("tuner=on;filter_bits=1");
    store.Reopen();
    REQUIRE(store.ShapeText() == "tiering:8");
    store.LookUp(5 * kWindow);
    const json tuner = store.Explained();
    REQUIRE(tuner["mode"] == "on");
    REQUIRE(tuner["switches"].get<int>() >= 1);
    REQUIRE(tuner["shape"] == store.ShapeText());
    const Shape shape = store.impl().shape();
    REQUIRE(shape.RunCap(20, 20) == 1);
    // No batch came: levels were merged because the wait was the dearer.
    REQUIRE(store.impl().CurrentView()->runs.size() < runs_before);
    store.LookUp(100);
  }
  SECTION("puts on a drive of slow writes: many runs") {
    TunedStore store("compaction=leveling;size_ratio=4;tuner=off", SlowWrites());
    store.Put(100);
    store.SetOptions("tuner=on");
    store.Reopen();
    REQUIRE(store.ShapeText() == "leveling:4");
    store.Put(400);
    REQUIRE(store.Explained()["switches"].get<int>() >= 1);
    REQUIRE(store.impl().shape().RunCap(1, 3) > 1);
    store.LookUp(100);
  }
}

TEST_CASE("observing decides and journals, and changes nothing", "[simulated][shape]") {
  TunedStore store("compaction=tiering;size_ratio=8;filter_bits=1");
  store.Put(200);
  store.SetOptions("tuner=observe;filter_bits=1");
  store.Reopen();
  store.LookUp(5 * kWindow);
  const json tuner = store.Explained();
  REQUIRE(tuner["mode"] == "observe");
  REQUIRE(tuner["windows"].get<int>() >= 4);
  REQUIRE(tuner["switches"] == 0);
  REQUIRE(store.ShapeText() == "tiering:8");
  bool wanted_to = false;
  for (const json& decision : tuner["decisions"]) {
    REQUIRE_FALSE(decision["applied"].get<bool>());
    wanted_to = wanted_to || decision["outcome"]["verdict"] == "switch";
  }
  REQUIRE(wanted_to);
}

TEST_CASE("with the tuner off there is neither a decision nor a journal", "[simulated][shape]") {
  TunedStore store("");
  store.Put(100);
  store.LookUp(2 * kWindow);
  REQUIRE(store.Explained() == json{{"mode", "off"}});
  store.Reopen([&] { REQUIRE_FALSE(*store.disk().Restart()->Exists(kJournal)); });
}

TEST_CASE("what is pinned stays", "[simulated][shape]") {
  TunedStore store("compaction=lazy;size_ratio=5;tuner=on");
  store.Put(200);
  store.LookUp(4 * kWindow);
  REQUIRE(store.Explained()["windows"].get<int>() >= 4);
  REQUIRE(store.ShapeText() == "lazy:5");
}

TEST_CASE("shape, memtable, device and journal survive a restart", "[simulated][shape]") {
  TunedStore store("tuner=on;filter_bits=1;compaction=auto", SlowReads());
  store.Put(200);
  store.LookUp(5 * kWindow);
  const json before = store.Explained();
  REQUIRE(before["switches"].get<int>() >= 1);
  const std::string shape = store.ShapeText();
  store.Reopen();
  const json after = store.Explained();
  REQUIRE(store.ShapeText() == shape);
  REQUIRE(after["shape"] == shape);
  REQUIRE(after["memtable_bytes"] == before["memtable_bytes"]);
  REQUIRE(after["device"] == before["device"]);
  REQUIRE(after["decisions"][0]["sequence"] == before["decisions"][0]["sequence"]);
  REQUIRE(after["windows"] == 0);
  // Closing has written what had happened since the last decision.
  REQUIRE(after["decisions"][0]["after"] == before["decisions"][0]["after"]);
  store.LookUp(2 * kWindow);
  REQUIRE(store.Explained()["windows"].get<int>() >= 1);
  REQUIRE(store.ShapeText() == shape);
}

TEST_CASE("a journal that is damaged, torn or gone costs the tuner its memory and nothing else",
          "[simulated][shape]") {
  TunedStore store("tuner=on;filter_bits=1", SlowReads());
  store.Put(200);
  store.LookUp(5 * kWindow);
  const std::string shape = store.ShapeText();
  const size_t decisions = store.Explained()["decisions"].size();
  REQUIRE(decisions >= 2);
  enum class Damage { kByte, kTorn, kGone };
  const auto damage = GENERATE(Damage::kByte, Damage::kTorn, Damage::kGone);
  store.Reopen([&] {
    const auto fs = store.disk().Restart();
    if (damage == Damage::kGone) {
      REQUIRE(fs->Remove(kJournal).ok());
      return;
    }
    const auto file = fs->Open(kJournal, FileOpen{.write = true});
    REQUIRE(file.ok());
    if (damage == Damage::kTorn) {
      REQUIRE((*file)->Truncate(1000).ok());
    } else {
      REQUIRE((*file)->Write(100, std::vector<std::byte>(10, std::byte{0x5A})).ok());
    }
  });
  REQUIRE(store.ShapeText() == shape);
  const json notes = store.Stats()["recovery_notes"];
  REQUIRE(notes.empty() == (damage == Damage::kGone));
  REQUIRE(store.Explained()["decisions"].size() < decisions);
  store.LookUp(3 * kWindow);
  REQUIRE(store.Explained()["windows"].get<int>() >= 1);
}

TEST_CASE("a crash while a plan is adopted leaves the old shape or the new one",
          "[simulated][shape]") {
  const auto kind = GENERATE(SimulatedCrash::kProcess, SimulatedCrash::kPower);
  uint64_t crashes = 0;
  std::string planned;
  for (uint64_t n = 0;; ++n) {
    // A plan is adopted after so many lookups; n = 0 shows which.
    QuietStore store(std::string(kSmallTrees) + "tuner=on", [](StoreEnvironment* environment) {
      environment->random_shapes_seed = 11;
      environment->tuner_window_operations = 500;
    });
    for (uint32_t i = 0; i < 20; ++i) {
      TestPath path = MakePath(store.store(), "model", Tokens(i * 1000, 20));
      REQUIRE(*store.store().impl()->PutEntries(*path.path->impl(), 0, 20, kPage) == 20);
    }
    REQUIRE(store.store().Flush().ok());
    while (store.scheduler().RunOne()) {
    }
    const std::string before = store.store().impl()->shape().ToString();
    if (n > 0) store.disk().SetCrashAt(n, kind);
    for (uint32_t i = 0; i < 600; ++i) {
      TestPath path = MakePath(store.store(), "model", Tokens(7000000 + i, 1));
      (void)store.store().Probe(*path.path, 0, 1, {});
      while (store.scheduler().RunOne()) {
      }
    }
    if (n == 0) {
      planned = store.store().impl()->shape().ToString();
      REQUIRE(planned != before);
      continue;
    }
    const bool crashed = store.disk().crashed();
    store.Reopen();
    const std::string after = store.store().impl()->shape().ToString();
    CAPTURE(n, crashed, before, planned);
    REQUIRE((after == before || after == planned));
    if (!crashed) break;
    ++crashes;
  }
  REQUIRE(crashes >= 2);
}

TEST_CASE("a journal that cannot be written is counted, and the tuner goes on",
          "[simulated][shape]") {
  TunedStore store("tuner=on;filter_bits=1", SlowReads());
  store.Put(200);
  SimulatedFaults faults;
  faults.write_error = 1;
  faults.only_in = "TUNER";
  store.disk().SetFaults(faults);
  store.LookUp(5 * kWindow);
  const json tuner = store.Explained();
  REQUIRE(tuner["journal_failures"].get<int>() >= 1);
  REQUIRE(tuner["decisions"].size() >= 1);
  store.disk().SetFaults({});
}

TEST_CASE("a constant mix does not switch, and its windows are what was asked for",
          "[simulated][shape]") {
  TunedStore store("tuner=on;filter_bits=2", SlowReads());
  store.Put(200);
  // What was put came first: the mix is not constant yet.
  store.LookUp(10 * kWindow);
  const json settled = store.Explained();
  for (int i = 0; i < 60; ++i) {
    store.LookUp(400);
    store.Put(1);
  }
  const json tuner = store.Explained();
  REQUIRE(tuner["windows"].get<int>() >= settled["windows"].get<int>() + 10);
  REQUIRE(tuner["switches"] == settled["switches"]);
  // Half of the lookups find their page; puts look theirs up as well.
  const json last = tuner["decisions"][0];
  REQUIRE(last["mix"]["existing"].get<double>() < 0.5);
  REQUIRE(last["mix"]["existing"].get<double>() > 0.3);
  REQUIRE(last["after"]["mean"]["measured_s"].get<double>() > 0);
}

TEST_CASE("measured lookups are near to what was predicted for the runs that there are",
          "[simulated][shape]") {
  TunedStore store("tuner=observe;compaction=lazy;size_ratio=4;filter_bits=3", SlowReads());
  store.Put(300);
  // Forgets what the cache has served so far.
  store.Reopen();
  store.impl().block_cache().SetCapacity(0);
  store.LookUp(10 * kWindow);
  const json last = store.Explained()["decisions"][0];
  const double predicted = last["after"]["mean"]["predicted_s"];
  REQUIRE(predicted > 0);
  REQUIRE(last["after"]["mean"]["measured_s"].get<double>() == Approx(predicted).epsilon(0.15));
}

TEST_CASE("a device is measured in bounded time and leaves no file") {
  const TemporaryDirectory directory;
  {
    const auto store = OpenStore(directory / "store", TestOptions("tuner=on"));
    const json device = json::parse(store->Explain())["tuner"]["device"];
    for (const char* name :
         {"read_latency_s", "read_device_s", "read_bytes_per_s", "write_bytes_per_s"})
      REQUIRE(device[name].get<double>() > 0);
    REQUIRE_FALSE(std::filesystem::exists(directory / "store/device-probe.tmp"));
  }
  // Kept: the second time the same numbers are there again.
  const auto device_of = [&] {
    const auto store = OpenStore(directory / "store", TestOptions("tuner=observe"));
    return json::parse(store->Explain())["tuner"]["device"];
  };
  REQUIRE(device_of() == device_of());
}

TEST_CASE("a device model reads back from its text, and other text is none") {
  const tuner::DeviceModel model = {.read_latency_s = 1.0 / 3,
                                    .read_device_s = 2e-7,
                                    .read_bytes_per_s = 7.7e9,
                                    .write_bytes_per_s = 1e3};
  const std::string text = DeviceModelText(model);
  REQUIRE(ParseDeviceModel(text) == model);
  for (const std::string& wrong :
       {std::string(), text + ";", text.substr(1), text.substr(0, text.size() - 4) + "x",
        std::string("read_latency_s=1;read_device_s=1;read_bytes_per_s=1;write_bytes_per_s=-1")})
    REQUIRE_FALSE(ParseDeviceModel(wrong));
}

TEST_CASE("shapes pass to the tuner and back under their names") {
  for (const char* text :
       {"leveling:2", "leveling:10", "tiering:4", "lazy:10", "custom:10:9,9,3/1", "custom:8:2/4"}) {
    const IndexPlan plan = {.shape = *Shape::Parse(text), .memtable_bytes = 1 << 20};
    const IndexPlan back = PlanOf(TreeShapeOf(plan));
    REQUIRE(back.shape.ToString() == text);
    REQUIRE(back.memtable_bytes == plan.memtable_bytes);
  }
}

}  // namespace
}  // namespace lamina::testing
