using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>One graph of consistent self-attention whose mode is an input of the session, as a story runs it.</summary>
public class ConsistentSelfAttentionTests
{
    private const int Groups = 2, Images = 2, Tokens = 6, BankTokens = 5, Channels = 8, Keys = BankTokens + (Images * Tokens);

    [Fact]
    public void The_mode_is_chosen_from_run_to_run()
    {
        using var options = new SessionOptions();
        KernelLibrary.Register(options);
        CheckModes(options);
    }

    [Fact]
    public void The_mode_is_chosen_from_run_to_run_on_a_gpu()
    {
        CudaSession.SkipWithoutGpu();
        using var options = new SessionOptions();
        CudaSession.Register(options);
        CheckModes(options);
    }

    [Theory]
    [InlineData(3, 2, "element 1 of input 'mode' is 3")]
    [InlineData(-1, 2, "element 1 of input 'mode' is -1")]
    [InlineData(0, 1, "input 'mode' has 1 elements, too few for layer = 1")]
    public void A_mode_that_is_none_is_named(int mode, int layers, string message)
    {
        using var options = new SessionOptions();
        KernelLibrary.Register(options);
        var inputs = Inputs(mode);
        inputs["mode"] = Tensor.Create<int>([0, mode], 2);
        if (layers == 1)
            inputs["mode"] = Tensor.Create<int>([mode], 1);
        var error = Assert.Throws<OnnxRuntimeException>(() => SessionRunner.Run(Model(), inputs, options));
        Assert.Contains(message, error.Message);
    }

    [Fact]
    public void A_negative_scale_is_refused()
    {
        using var options = new SessionOptions();
        KernelLibrary.Register(options);
        var error = Assert.Throws<OnnxRuntimeException>(() => SessionRunner.Run(Model(scale: -0.5f), Inputs(mode: 0), options));
        Assert.Contains("attribute 'scale' is -0.5", error.Message);
    }

    private static void CheckModes(SessionOptions options)
    {
        foreach (var mode in new[] { 0, 1, 2 })
        {
            var inputs = Inputs(mode);
            var expected = SessionRunner.Run(Model(), inputs)["output"].AsSpan<float>().ToArray();
            var actual = SessionRunner.Run(Model(), inputs, options)["output"].AsSpan<float>().ToArray();
            for (var i = 0; i < expected.Length; i++)
                Assert.Equal(expected[i], actual[i], 1e-5f);
        }
    }

    private static OnnxModel Model(float? scale = null)
    {
        var builder = new GraphBuilder();
        Shape tokens = ["images", "tokens", Channels], bank = [Groups, "bank", Channels];
        builder.Output("output", ConsistentSelfAttention.Apply(
            builder.Input("query", TensorElementType.Float, tokens), builder.Input("key", TensorElementType.Float, tokens),
            builder.Input("value", TensorElementType.Float, tokens), builder.Input("bank_key", TensorElementType.Float, bank),
            builder.Input("bank_value", TensorElementType.Float, bank),
            builder.Input("key_mask", TensorElementType.Bool, ["rows", "keys"]),
            builder.Input("mode", TensorElementType.Int32, ["layers"]), headCount: 2, Groups, layer: 1, scale));
        return builder.ToModel();
    }

    private static Dictionary<string, Tensor> Inputs(int mode) => new()
    {
        ["query"] = RandomTensor.Float(1, Groups * Images, Tokens, Channels),
        ["key"] = RandomTensor.Float(2, Groups * Images, Tokens, Channels),
        ["value"] = RandomTensor.Float(3, Groups * Images, Tokens, Channels),
        ["bank_key"] = RandomTensor.Float(4, Groups, BankTokens, Channels),
        ["bank_value"] = RandomTensor.Float(5, Groups, BankTokens, Channels),
        ["key_mask"] = Tensor.Create<bool>([.. Enumerable.Range(0, Images * Keys).Select(i => i * i % 7 < 3)], Images, Keys),
        ["mode"] = Tensor.Create<int>([0, mode], 2),
    };
}
