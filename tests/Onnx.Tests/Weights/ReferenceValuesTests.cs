using Microsoft.ML.Attention.Onnx.Goldens;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

/// <summary>The numbers that the README of the reference cases gives to check the rule by.</summary>
public class ReferenceValuesTests
{
    [Fact]
    public void Weights_and_inputs_are_those_of_the_reference_cases()
    {
        Near([0.896443f, 0.47527f, 0.266851f, 0.991678f, 0.079423f, 0.951914f],
            ReferenceValues.Parameter("patch_embed.proj.weight", [2, 3, 1, 1], 0));
        Near([-0.985131f, 0.806484f, 0.803208f], ReferenceValues.Input("x", [3], 5, -1, 1));
        Near([1.042678f], ReferenceValues.Parameter("norm.weight", [1], 0));
    }

    private static void Near(float[] expected, Tensor actual)
    {
        var values = actual.AsSpan<float>().ToArray();
        Assert.Equal(expected.Length, values.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.InRange(values[i], expected[i] - 1e-6f, expected[i] + 1e-6f);
    }
}
