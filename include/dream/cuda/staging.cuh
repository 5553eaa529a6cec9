// Copies between pageable host memory and a GPU through two pinned pieces: one is filled while the other travels.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include <cuda_runtime.h>

#include <dream/cuda/error.cuh>

namespace dream {

/// The pinned memory of a context, made at its first copy.
class PinnedStaging {
 public:
  /// Ordered on the stream; `from` may change as soon as this returns.
  void upload(cudaStream_t stream, const void* from, void* to, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes; done += piece_bytes) {
      const std::size_t now = std::min(piece_bytes, bytes - done);
      Piece& piece = next();
      std::memcpy(piece.memory.get(), static_cast<const std::byte*>(from) + done, now);
      DREAM_CUDA_TRY(
          cudaMemcpyAsync(static_cast<std::byte*>(to) + done, piece.memory.get(), now, cudaMemcpyHostToDevice, stream));
      DREAM_CUDA_TRY(cudaEventRecord(piece.free.get(), stream));
    }
  }

  /// Waits for the stream; `to` holds the bytes when this returns.
  void download(cudaStream_t stream, const void* from, void* to, std::size_t bytes) {
    std::size_t sent = 0, received = 0;
    Piece* before = nullptr;
    while (received < bytes) {
      Piece* piece = nullptr;
      if (sent < bytes) {
        piece = &next();
        piece->bytes = std::min(piece_bytes, bytes - sent);
        DREAM_CUDA_TRY(cudaMemcpyAsync(piece->memory.get(), static_cast<const std::byte*>(from) + sent, piece->bytes,
                                       cudaMemcpyDeviceToHost, stream));
        DREAM_CUDA_TRY(cudaEventRecord(piece->free.get(), stream));
        sent += piece->bytes;
      }
      if (before != nullptr) {
        DREAM_CUDA_TRY(cudaEventSynchronize(before->free.get()));
        std::memcpy(static_cast<std::byte*>(to) + received, before->memory.get(), before->bytes);
        received += before->bytes;
      }
      before = piece;
    }
  }

 private:
  static constexpr std::size_t piece_bytes = std::size_t{2} << 20;

  struct Piece {
    CudaHandle<void*, cudaFreeHost> memory;
    CudaEvent free;  // recorded behind the last copy that used the piece
    std::size_t bytes = 0;
  };

  /// The piece that has waited longest, when its copy is done.
  Piece& next() {
    Piece& piece = pieces_[turn_];
    turn_ = (turn_ + 1) % pieces_.size();
    if (!piece.memory) {
      void* memory = nullptr;
      cudaEvent_t event = nullptr;
      DREAM_CUDA_TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
      piece.free.reset(event);
      DREAM_CUDA_TRY(cudaHostAlloc(&memory, piece_bytes, cudaHostAllocDefault));
      piece.memory.reset(memory);
    }
    DREAM_CUDA_TRY(cudaEventSynchronize(piece.free.get()));
    return piece;
  }

  std::array<Piece, 2> pieces_;
  std::size_t turn_ = 0;
};

}  // namespace dream
