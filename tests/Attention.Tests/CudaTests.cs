using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Tests;

public class CudaTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Theory]
    [InlineData(100, 16)]
    [InlineData(5, 16)]
    public void ScoresOnCudaEqualThoseOnTheCpu(int count, int batchSize)
    {
        SkipWithoutCuda();
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(count));
        byte[][] models = [TestModels.DoubleAndSum("N", 4), TestModels.DoubleAndSum(8, 4), TestModels.DoubleAndSum("N", "D")];
        foreach (byte[] model in models)
        {
            using var transformer = Fit(data, model, batchSize, ExecutionProvider.Cuda);
            Assert.Equal(ExecutionProvider.Cuda, transformer.ExecutionProvider);
            var scored = _ml.Data.CreateEnumerable<Scored>(transformer.Transform(data), reuseRowObject: false).ToList();
            Assert.Equal(count, scored.Count);
            for (int i = 0; i < count; i++)
                BatchingTests.AssertScored(i, scored[i]);
        }
    }

    [Fact]
    public void AutoTakesCuda()
    {
        SkipWithoutCuda();
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        using var transformer = Fit(data, TestModels.DoubleAndSum("N", 4), 4, ExecutionProvider.Auto);
        Assert.Equal(ExecutionProvider.Cuda, transformer.ExecutionProvider);
    }

    [Fact]
    public void ADeviceThatIsNotThereIsNamed()
    {
        SkipWithoutCuda();
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        var options = Options(TestModels.DoubleAndSum("N", 4), 4, new() { ExecutionProvider = ExecutionProvider.Cuda, DeviceId = 99 });
        string message = Assert.ThrowsAny<InvalidOperationException>(() => _ml.Transforms.ScoreOnnx(options).Fit(data)).Message;
        Assert.Contains("CUDA device 99", message);
    }

    private static void SkipWithoutCuda()
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"))
            Assert.Skip("no CUDA execution provider in the loaded ONNX Runtime");
    }

    private OnnxBatchScoringTransformer Fit(IDataView data, byte[] model, int batchSize, ExecutionProvider provider) =>
        _ml.Transforms.ScoreOnnx(Options(model, batchSize, new() { ExecutionProvider = provider })).Fit(data);

    private static OnnxBatchScoringEstimator.Options Options(byte[] model, int batchSize, OnnxSessionOptions session) =>
        new() { Model = model, Scoring = new() { BatchSize = batchSize, Session = session } };
}
