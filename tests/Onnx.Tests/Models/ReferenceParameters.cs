using Microsoft.ML.Attention.Onnx.Goldens;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>The parameters that the reference cases' rule gives a model, whatever they are.</summary>
internal sealed class ReferenceParameters : WeightSource
{
    public override string Description => "the rule of the reference cases";

    public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
        ReferenceValues.Parameter(name, dims, 0);
}
