// What models with modalities share: the modal embeddings Z_m, one a modality, and their projections
// (docs/components.md, 2)
//   X_m = Z_m W_m + b_m,   Z_m trainable and started at the features F_m, or frozen there.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include <dream/models/model.hpp>
#include <dream/models/model_data.hpp>
#include <dream/ops/features.hpp>

namespace dream {

template <class T, class B>
class ModalEmbeddings {
 public:
  /// Adds the parameters NAME.weight (d_m x dim) and NAME.bias of every modality. `modalities` must outlive this.
  ModalEmbeddings(Parameters<T, B>& parameters, std::span<const ModalityData<T, B>> modalities, index_t dim,
                  bool trainable)
      : parameters_(&parameters), trainable_(trainable) {
    parts_.reserve(modalities.size());
    for (const auto& source : modalities)
      parts_.push_back({parameters.add(source.name + ".weight", source.features.cols(), dim),
                        parameters.add(source.name + ".bias", 1, dim),
                        {},
                        FeatureProjection<T, B>(source.features.view()),
                        {}});
    if (!trainable) return;
    large_.resize(modalities.size());
    for (std::size_t m = 0; m < modalities.size(); ++m) large_[m].name = modalities[m].name + ".features";
  }

  /// W_m Xavier-uniform, of stream `first_stream` + 2 m; b_m as allocated; Z_m = F_m.
  void initialise(Context<B>& context, std::span<const ModalityData<T, B>> modalities, std::uint64_t seed,
                  std::uint32_t first_stream = 100) {
    for (std::size_t m = 0; m < parts_.size(); ++m)
      xavier_uniform(context, parameters_->value(parts_[m].weight), seed,
                     first_stream + 2 * static_cast<std::uint32_t>(m));
    for (std::size_t m = 0; m < large_.size(); ++m) {
      const FeatureView<T> features = modalities[m].features.view();
      large_[m].value.resize(context, features.rows, features.cols);
      gather_features<T>(context, features, {}, {}, large_[m].value.view());
    }
  }

  std::size_t count() const { return parts_.size(); }

  /// X_m of all items (q x dim), on the tape.
  Var project(Tape<T, B>& tape, std::size_t m) {
    Part& part = parts_[m];
    const Var weight = parameters_->on(tape, part.weight), bias = parameters_->on(tape, part.bias);
    part.projected =
        trainable_ ? tape.apply(part.of_trained, tape.constant(std::as_const(large_[m].value).view()), weight, bias)
                   : tape.apply(part.of_frozen, weight, bias);
    return part.projected;
  }

  /// Z_m where they are trainable.
  std::span<LargeParameter<T, B>> large_parameters() { return large_; }
  /// After backward(): dZ_m = dX_m W_m^T.
  void bind_large_gradients(const Tape<T, B>& tape) {
    for (std::size_t m = 0; m < large_.size(); ++m) {
      large_[m].left = tape.gradient(parts_[m].projected);
      large_[m].right = parameters_->value(parts_[m].weight);
    }
  }

 private:
  struct Part {
    ParameterId weight, bias;
    Linear<T, B> of_trained;
    FeatureProjection<T, B> of_frozen;
    Var projected;  // of this step
  };

  Parameters<T, B>* parameters_;
  bool trainable_;
  std::vector<Part> parts_;
  std::vector<LargeParameter<T, B>> large_;
};

}  // namespace dream
