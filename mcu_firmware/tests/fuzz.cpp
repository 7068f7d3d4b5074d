// libFuzzer's way into the frame decoder and the command handler.
//
// The input is a sequence of pieces, each begun by a byte that says what it is: raw bytes, time that
// passes, a frame whose checksum is made right, so that the fuzzer gets past it, or a whole picture
// of which one chunk may go wrong. A frame may have the size and the sequence number that the handler
// waits for, or any.
#include "tests/host_machine.hpp"

namespace {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  bool empty() const { return left_ == 0; }

  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  void bytes(uint8_t* to, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) to[i] = byte();
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

sdiwm::Handler* handler;

void feed(const uint8_t* bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) handler->put(bytes[i]);
}

uint32_t right_size(uint8_t number) {
  switch (number) {
    case sdiwm::wire::Hello::kNumber: return sizeof(sdiwm::wire::Hello);
    case sdiwm::wire::SetGoal::kNumber: return sizeof(sdiwm::wire::SetGoal);
    case sdiwm::wire::SetSettings::kNumber: return sizeof(sdiwm::wire::SetSettings);
    case sdiwm::wire::Fuse::kNumber: return sizeof(sdiwm::wire::Fuse);
    case sdiwm::wire::PlanRequest::kNumber: return sizeof(sdiwm::wire::PlanRequest);
    case sdiwm::wire::ImageChunk::kNumber: return sizeof(sdiwm::wire::ImageChunk);
    case sdiwm::wire::Encode::kNumber: return sizeof(sdiwm::wire::Encode);
    case sdiwm::wire::FuseSeen::kNumber: return sizeof(sdiwm::wire::FuseSeen);
    default: return 0;
  }
}

// Settings as they should be but for one, which the input chooses; or the search never meets a plan.
// Small and short plans: there are more of them in the same time.
void likely_settings(Input& input, uint8_t* payload) {
  int32_t words[16] = {3 + input.byte() % 6, 1 + input.byte() % 4, 1, 9000, 6000, 22937, 6554,
                       655, 20000, 20, 0, 0, sdiwm::model::kPrior > 0 ? 1 : 0, 0, 7, 0};
  const uint8_t changed = input.byte();
  if (changed < 16) input.bytes(reinterpret_cast<uint8_t*>(&words[changed]), 4);
  memcpy(payload, words, sizeof words);
}

constexpr uint32_t kPictures = 4;  // numbers of pictures that are likely

template <class T>
void send(uint16_t& sequence, const T& message) {
  ++sequence;
  sdiwm::send_frame<sdiwm::wire::kLargestPayload>(
      {feed}, {T::kNumber, sdiwm::wire::kProtocolVersion, sequence}, &message, sizeof message);
}

#if SDIWM_HAS_ENCODER
// All chunks of a picture, one of them left out, doubled, from elsewhere or of another picture.
void feed_picture(Input& input, uint16_t& sequence) {
  sdiwm::wire::ImageChunk chunk = {};
  const uint32_t picture = input.byte() % kPictures;
  const uint32_t changed = input.byte();
  const uint8_t change = input.byte();
  memset(chunk.bytes, input.byte(), sizeof chunk.bytes);
  input.bytes(chunk.bytes, 16);
  for (uint32_t i = 0; i * sizeof chunk.bytes < sdiwm::encoder::kPictureBytes; ++i) {
    chunk.picture = picture;
    chunk.offset = i * static_cast<uint32_t>(sizeof chunk.bytes);
    if (i == changed && change % 4 == 0) continue;
    if (i == changed && change % 4 == 1) send(sequence, chunk);
    if (i == changed && change % 4 == 2) chunk.offset ^= 1u << (change / 8);
    if (i == changed && change % 4 == 3) chunk.picture = change;
    send(sequence, chunk);
  }
  send(sequence, sdiwm::wire::Encode{picture, change & 1u});
  sdiwm::wire::FuseSeen felt = {};
  felt.picture = picture;
  input.bytes(reinterpret_cast<uint8_t*>(&felt.proprio), sizeof felt - sizeof felt.picture);
  send(sequence, felt);
}
#else
void feed_picture(Input&, uint16_t&) {}
#endif

// The number of a picture and the place of a chunk as they should be, or nearly.
void likely_picture(Input& input, uint8_t number, uint8_t* payload) {
  const uint32_t picture = input.byte() % kPictures;
  memcpy(payload, &picture, sizeof picture);
  if (number == sdiwm::wire::ImageChunk::kNumber) {
    const uint32_t offset = input.byte() % 16 * sdiwm::wire::kImageChunk;
    memcpy(payload + sizeof picture, &offset, sizeof offset);
  }
}

void feed_frame(Input& input, uint16_t& sequence) {
  uint8_t payload[sdiwm::wire::kLargestPayload] = {};
  const uint8_t kind = input.byte();
  const uint8_t number = kind % 12;
  uint32_t size = right_size(number);
  if (kind & 0x80) size = (size + input.byte()) % (sizeof payload + 1);
  input.bytes(payload, size);
  if (number == sdiwm::wire::Hello::kNumber && (kind & 0x40) == 0) {
    memcpy(payload, sdiwm::wire::kModelHash, sizeof sdiwm::wire::kModelHash);
  }
  if (number == sdiwm::wire::SetSettings::kNumber && (kind & 0x40) == 0) {
    likely_settings(input, payload);
  }
  if (number >= sdiwm::wire::ImageChunk::kNumber && (kind & 0x40) == 0) {
    likely_picture(input, number, payload);
  }
  const uint8_t step = input.byte();
  sequence = static_cast<uint16_t>(sequence + (step < 200 ? 1 : step * 331));
  const uint8_t version = input.byte() < 250 ? sdiwm::wire::kProtocolVersion : 0;
  sdiwm::send_frame<sdiwm::wire::kLargestPayload>({feed}, {number, version, sequence}, payload,
                                                  size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sdiwm::Handler fresh(host_machine::machine());
  static sdiwm::Handler used(host_machine::machine());
  memcpy(static_cast<void*>(&used), &fresh, sizeof used);
  handler = &used;
  host_machine::now = host_machine::answered = 0;
  Input input(data, size);
  uint16_t sequence = 0;
  while (!input.empty()) {
    const uint8_t what = input.byte();
    if (what < 8) {
      feed_picture(input, sequence);
    } else if (what < 160) {
      feed_frame(input, sequence);
    } else if (what < 200) {
      host_machine::now += what * host_machine::kTicksPerMs;
    } else {
      uint8_t raw[64];
      input.bytes(raw, what - 199);
      feed(raw, what - 199);
    }
    handler->watch();
  }
  return 0;
}
