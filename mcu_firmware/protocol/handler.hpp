// What the chip does with each frame: checks everything, then acts, or refuses and counts.
//
// Nothing is acted on before a handshake names this firmware's own model; a silent host makes the
// robot's action the safe one, and so does `Stop`, which only a new handshake ends.
#pragma once

#include <stdint.h>
#include <string.h>

#include "../planner/fuse.hpp"
#include "../planner/mppi.hpp"
#include "encoder.hpp"
#include "frame.hpp"
#include "messages.hpp"
#include "ranges.hpp"
#if SDIWM_HAS_ENCODER
#include "../sight/sight.hpp"
#endif

namespace sdiwm {

// What a board lends to the handler.
struct Machine {
  Port port;
  uint32_t (*ticks)();
  uint32_t ticks_per_second;
  uint32_t (*lost_bytes)();
  uint32_t (*stack_peak)();
  const char* name;
#if SDIWM_HAS_ENCODER
  SightMemory sight;
#endif
};

class Handler {
 public:
#if SDIWM_HAS_ENCODER
  explicit Handler(const Machine& machine) : machine_(machine), sight_(machine.sight) {}
#else
  explicit Handler(const Machine& machine) : machine_(machine) {}
#endif

  // Takes one received byte; answers when a frame is complete.
  void put(uint8_t byte) {
    switch (decoder_.put(byte)) {
      case FrameState::kIncomplete: break;
      case FrameState::kCorrupt: ++counter_[wire::kCorrupt]; break;
      case FrameState::kTruncated: ++counter_[wire::kTruncated]; break;
      case FrameState::kOversized: ++counter_[wire::kOversized]; break;
      case FrameState::kWhole: handle(); break;
    }
  }

  // To be called often, when all received bytes have been put: notices silence.
  void watch() {
    if (!greeted_ || silent_) return;
    const uint32_t per_ms = machine_.ticks_per_second / 1000;
    const uint32_t silence = (machine_.ticks() - heard_) / per_ms;
    if (silence <= wire::kWatchdogMs) return;
    silent_ = true;
    ++counter_[wire::kWatchdog];
    make_safe();
    wire::Safe safe = {};
    safe.silent_ms = silence;
    send(safe);
  }

 private:
  template <class T>
  void send(const T& message) {
    send_frame<wire::kLargestPayload>(machine_.port, {T::kNumber, wire::kProtocolVersion, sent_++},
                                      &message, sizeof message);
  }

  // A payload of exactly this message's size.
  template <class T>
  bool read(T& message) {
    if (decoder_.payload_size() != sizeof message) {
      refuse(wire::kRefuseWrongSize, wire::kWrongSize, decoder_.payload_size());
      return false;
    }
    memcpy(&message, decoder_.payload(), sizeof message);
    return true;
  }

  bool read_empty() {
    if (decoder_.payload_size() == 0) return true;
    refuse(wire::kRefuseWrongSize, wire::kWrongSize, decoder_.payload_size());
    return false;
  }

  void refuse(wire::Reason reason, wire::Counter counter, uint32_t detail = 0) {
    ++counter_[counter];
    wire::Refusal refusal = {};
    refusal.answers = decoder_.header().sequence;
    refusal.reason = reason;
    refusal.detail = detail;
    send(refusal);
  }

  void refuse_range(wire::Reason reason, int index) {
    refuse(reason, wire::kOutOfRange, static_cast<uint32_t>(index));
  }

  void done() {
    wire::Done message = {};
    message.answers = decoder_.header().sequence;
    send(message);
  }

  void make_safe() { memset(action_, 0, sizeof action_); }

  void handle() {
    const FrameHeader header = decoder_.header();
    if (header.version != wire::kProtocolVersion) {
      refuse(wire::kRefuseOldVersion, wire::kOldVersion, header.version);
    } else if (header.number == wire::Hello::kNumber) {
      greet();
    } else if (!greeted_ && header.number != wire::ReadStatistics::kNumber) {
      refuse(wire::kRefuseNoHandshake, wire::kNotReady);
    } else if (greeted_ && !in_order(header.sequence)) {
      return;
    } else {
      act(header.number);
    }
  }

  // Sequence numbers rise by steps below 2^15, and wrap.
  bool in_order(uint16_t sequence) {
    const int16_t step = static_cast<int16_t>(static_cast<uint16_t>(sequence - last_));
    if (step == 0) {
      refuse(wire::kRefuseRepeated, wire::kRepeated, sequence);
    } else if (step < 0) {
      refuse(wire::kRefuseReordered, wire::kReordered, sequence);
    }
    return step > 0;
  }

  // The host was heard: from here on its silence counts anew.
  void accept() {
    ++counter_[wire::kFrames];
    last_ = decoder_.header().sequence;
    heard_ = machine_.ticks();
    silent_ = false;
  }

  void greet() {
    wire::Hello hello;
    if (!read(hello)) return;
    greeted_ = has_goal_ = has_settings_ = stopped_ = false;
    make_safe();
    if (memcmp(hello.model, wire::kModelHash, sizeof hello.model) != 0) {
      refuse(wire::kRefuseOtherModel, wire::kOtherModel);
      return;
    }
    greeted_ = true;
#if SDIWM_HAS_ENCODER
    sight_.forget();
#endif
    accept();
    wire::Identity identity = {};
    identity.answers = last_;
    identity.latent = model::kLatent;
    identity.action = model::kAction;
    identity.fusion_input = model::kFusionInput;
    identity.candidates = model::kMaxCandidates;
    identity.horizon = model::kMaxHorizon;
    identity.watchdog_ms = wire::kWatchdogMs;
    identity.has_encoder = SDIWM_HAS_ENCODER;
    identity.ticks_per_second = machine_.ticks_per_second;
    memcpy(identity.model, wire::kModelHash, sizeof identity.model);
    for (uint32_t i = 0; i < sizeof identity.board && machine_.name[i] != 0; ++i) {
      identity.board[i] = static_cast<uint8_t>(machine_.name[i]);
    }
    send(identity);
  }

  void act(uint8_t number) {
    switch (number) {
      case wire::SetGoal::kNumber: set_goal(); break;
      case wire::SetSettings::kNumber: set_settings(); break;
      case wire::Fuse::kNumber: answer_fuse(); break;
      case wire::PlanRequest::kNumber: answer_plan(); break;
      case wire::ReadStatistics::kNumber: answer_statistics(); break;
      case wire::Heartbeat::kNumber: answer_heartbeat(); break;
      case wire::Stop::kNumber: stop(); break;
#if SDIWM_HAS_ENCODER
      case wire::ImageChunk::kNumber: take_chunk(); break;
      case wire::Encode::kNumber: encode(); break;
      case wire::FuseSeen::kNumber: fuse_seen(); break;
#else
      case wire::ImageChunk::kNumber:
      case wire::Encode::kNumber:
      case wire::FuseSeen::kNumber: refuse(wire::kRefuseNoEncoder, wire::kNoEncoder); break;
#endif
      default: refuse(wire::kRefuseUnknown, wire::kUnknown, number); break;
    }
  }

  void set_goal() {
    static_assert(sizeof(wire::SetGoal) == sizeof(Goal), "the goal's own bytes are sent");
    wire::SetGoal message;
    if (!read(message)) return;
    Goal goal;
    memcpy(&goal, &message, sizeof goal);
    const int bad = goal_out_of_range(goal);
    if (bad >= 0) return refuse_range(wire::kRefuseGoalRange, bad);
    goal_ = goal;
    has_goal_ = true;
    accept();
    done();
  }

  void set_settings() {
    static_assert(sizeof(wire::SetSettings) == sizeof(PlannerSettings), "so are the settings'");
    wire::SetSettings message;
    if (!read(message)) return;
    PlannerSettings settings;
    memcpy(&settings, &message, sizeof settings);
    const int bad = setting_out_of_range(settings);
    if (bad >= 0) return refuse_range(wire::kRefuseSettingRange, bad);
    settings_ = settings;
    has_settings_ = true;
    accept();
    done();
  }

  void answer_fuse() {
    wire::Fuse message;
    if (!read(message)) return;
    int16_t input[model::kFusionInput];
    memcpy(input, message.input, sizeof input);
    const int bad = beyond(input, model::kFusionInput, 32767);
    if (bad >= 0) return refuse_range(wire::kRefuseInputRange, bad);
    accept();
    send_latent(input);
  }

  void send_latent(const int16_t* input) {
    wire::Latent latent = {};
    latent.answers = last_;
    const uint32_t began = machine_.ticks();
    fuse(input, latent.latent);
    latent.ticks = machine_.ticks() - began;
    send(latent);
  }

#if SDIWM_HAS_ENCODER
  void take_chunk() {
    wire::ImageChunk chunk;
    if (!read(chunk)) return;
    if (chunk.offset >= encoder::kPictureBytes) {
      return refuse(wire::kRefuseChunkRange, wire::kOutOfRange, chunk.offset);
    }
    if (!sight_.take(chunk.picture, chunk.offset, chunk.bytes, sizeof chunk.bytes)) {
      return refuse(wire::kRefuseChunkOrder, wire::kChunkOrder, sight_.next());
    }
    accept();
    done();
  }

  // Asked for the newest picture again it only says again how long that took.
  void encode() {
    wire::Encode message;
    if (!read(message)) return;
    if (!sight_.has_encoded(message.picture)) {
      if (!sight_.complete(message.picture)) {
        return refuse(wire::kRefusePartialPicture, wire::kPartialPicture, sight_.next());
      }
      const uint32_t began = machine_.ticks();
      sight_.encode(message.picture, message.first != 0);
      encoding_ = machine_.ticks() - began;
      ++counter_[wire::kPictures];
    }
    accept();
    wire::Encoded encoded = {};
    encoded.answers = last_;
    encoded.ticks = encoding_;
    send(encoded);
  }

  void fuse_seen() {
    wire::FuseSeen message;
    if (!read(message)) return;
    if (!sight_.has_encoded(message.picture)) {
      return refuse(wire::kRefuseNoPicture, wire::kPartialPicture, message.picture);
    }
    const int bad = beyond(message.proprio, Sight::kProprio, 32767);
    if (bad >= 0) return refuse_range(wire::kRefuseInputRange, bad);
    accept();
    int16_t input[model::kFusionInput];
    sight_.fusion_inputs(message.proprio, input);
    send_latent(input);
  }
#endif

  // Where a plan cannot be made just now: why.
  bool may_plan() {
    if (stopped_) refuse(wire::kRefuseStopped, wire::kNotReady);
    else if (!has_goal_) refuse(wire::kRefuseNoGoal, wire::kNotReady);
    else if (!has_settings_) refuse(wire::kRefuseNoSettings, wire::kNotReady);
    return !stopped_ && has_goal_ && has_settings_;
  }

  void answer_plan() {
    wire::PlanRequest message;
    if (!read(message) || !may_plan()) return;
    const int moves = settings_.horizon * model::kAction;
    int bad = beyond(message.latent, model::kLatent, 32767);
    if (bad >= 0) return refuse_range(wire::kRefuseLatentRange, bad);
    bad = beyond(message.mean, moves, kActionOne);
    if (bad >= 0) return refuse_range(wire::kRefuseWarmStartRange, bad);
    accept();
    settings_.plan = message.plan;
    settings_.cold = message.cold != 0 ? 1 : 0;
    wire::Plan reply = {};
    reply.answers = last_;
    memcpy(reply.mean, message.mean, static_cast<uint32_t>(moves) * sizeof(int16_t));
    const uint32_t began = machine_.ticks();
    reply.cost = plan(goal_, settings_, message.latent, reply.mean, work_);
    reply.ticks = machine_.ticks() - began;
    ++counter_[wire::kPlans];
    memcpy(action_, reply.mean, sizeof action_);
    heard_ = machine_.ticks();  // the time that planning took is not the host's silence
    send(reply);
  }

  void answer_statistics() {
    if (!read_empty()) return;
    if (greeted_) accept();
    wire::Statistics reply = {};
    reply.answers = decoder_.header().sequence;
    reply.safe = silent_ || stopped_ || !greeted_ ? 1 : 0;
    counter_[wire::kLostBytes] = machine_.lost_bytes();
    memcpy(reply.counter, counter_, sizeof counter_);
    reply.stack_peak = machine_.stack_peak();
    memcpy(reply.action, action_, sizeof action_);
    send(reply);
  }

  void answer_heartbeat() {
    if (!read_empty()) return;
    accept();
    done();
  }

  void stop() {
    if (!read_empty()) return;
    accept();
    stopped_ = true;
    make_safe();
    done();
  }

  Machine machine_;
  FrameDecoder<wire::kLargestPayload> decoder_;
  Goal goal_ = {};
  PlannerSettings settings_ = {};
  Workspace work_ = {};
#if SDIWM_HAS_ENCODER
  Sight sight_;
  uint32_t encoding_ = 0;  // ticks that the newest picture took
#endif
  int16_t action_[model::kAction] = {};  // what the robot is told
  uint32_t counter_[wire::kCounters] = {};
  uint32_t heard_ = 0;  // ticks at the last accepted frame
  uint16_t last_ = 0;   // its sequence number
  uint16_t sent_ = 0;   // sequence number of the next answer
  bool greeted_ = false;
  bool has_goal_ = false;
  bool has_settings_ = false;
  bool stopped_ = false;
  bool silent_ = false;
};

}  // namespace sdiwm
