using Microsoft.ML.Attention.Onnx.Surgery;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

public class FreeUTests
{
    [Theory]
    [InlineData("xl-plain-14")]
    [InlineData("xl-einsum-16")]
    [InlineData("xl-chunk-17")]
    public void Rewrite_ComputesWhatPyTorchComputesByFourierTransforms(string name)
    {
        var unet = ExportedGraph.OfPyTorch(name);
        var nodes = unet.Graph.Nodes.Count;
        AssertRight(FreeU.Rewrite(unet), name, []);
        Assert.Equal(nodes, unet.Graph.Nodes.Count);
    }

    [Fact]
    public void Rewrite_GoesWithConsistentSelfAttentionInEitherOrder()
    {
        const string Name = "xl-plain-14";
        var unet = ExportedGraph.OfPyTorch(Name);
        AssertRight(FreeU.Rewrite(Restyle.Styles["functions"](unet)), Name, []);
        var first = ConsistentUnet.Rewrite(FreeU.Rewrite(unet));
        var last = FreeU.Rewrite(ConsistentUnet.Rewrite(unet).Model);
        Assert.Equal(first.Layers, new ConsistentUnet(last).Layers);
        var inputs = new Dictionary<string, Tensor>
        {
            [ConsistentUnet.ModeInput] = Tensor.Create<int>(new int[first.Layers.Count], first.Layers.Count),
        };
        foreach (var layer in first.Layers)
        {
            inputs[layer.BankKeyInput] = inputs[layer.BankValueInput] = Tensor.Create<float>([], 2, 0, layer.Channels);
            var columns = (int)ExportedGraph.Results(Name)[$"mask.{layer.Level}"].Dims[1] / 3 * 2;
            inputs[layer.MaskInput] = Tensor.Create<bool>(new bool[2 * columns], 2, columns);
        }
        AssertRight(first.Model, Name, inputs);
        AssertRight(last, Name, inputs);
    }

    private static void AssertRight(OnnxModel model, string name, Dictionary<string, Tensor> more)
    {
        var reference = ExportedGraph.Results(name);
        var inputs = new Dictionary<string, Tensor>(more)
        {
            ["sample"] = reference["write.sample"],
            ["timestep"] = Tensor.Scalar(321f),
            ["encoder_hidden_states"] = reference["write.encoder_hidden_states"],
        };
        var actual = SessionRunner.Run(model, inputs)["out_sample"].AsSpan<float>().ToArray();
        var expected = reference["write_freeu"].AsSpan<float>().ToArray();
        Assert.All(actual.Zip(expected), pair => Assert.Equal(pair.Second, pair.First, 2e-5));
        var without = reference["write_plain"].AsSpan<float>().ToArray();
        Assert.Contains(expected.Zip(without), pair => Math.Abs(pair.First - pair.Second) > 1e-2);
    }
}
