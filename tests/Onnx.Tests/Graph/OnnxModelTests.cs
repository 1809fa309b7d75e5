using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

public sealed class OnnxModelTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("onnx-model-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Is_the_same_after_writing_and_reading()
    {
        var model = Model();
        var bytes = model.ToBytes();
        Assert.Equal(bytes, OnnxModel.Load(bytes).ToBytes());
    }

    [Fact]
    public void Large_weights_go_beside_the_file_and_come_back()
    {
        var model = Model();
        var path = Path.Combine(_folder, "model.onnx");
        model.Save(path, externalDataThreshold: 100);
        Assert.True(new FileInfo(path).Length < 20_000);
        Assert.True(File.Exists(path + ".data"));
        Assert.Equal(model.ToBytes(), OnnxModel.Load(path).ToBytes());

        using var session = new InferenceSession(path);
        Assert.Equal(["y"], session.OutputNames);
    }

    [Fact]
    public void Weights_that_are_left_in_their_file_are_referred_to()
    {
        var model = Model();
        var path = Path.Combine(_folder, "model.onnx");
        model.Save(path, externalDataThreshold: 100);
        var left = OnnxModel.Load(path, leaveExternalData: true);
        Assert.Contains(left.Graph.Initializers.Values, tensor => tensor.External is not null);
        Assert.All(model.Graph.Initializers, weight => Assert.Equal(weight.Value.Data.ToArray(), left.Graph.Initializers[weight.Key].Data.ToArray()));

        var beside = Path.Combine(_folder, "beside.onnx");
        left.Save(beside, externalDataThreshold: 100);
        Assert.False(File.Exists(beside + ".data"));
        Assert.Equal(model.ToBytes(), OnnxModel.Load(beside).ToBytes());
        left.Save(path, externalDataThreshold: 100);
        Assert.Equal(model.ToBytes(), OnnxModel.Load(path).ToBytes());

        using var options = new SessionOptions();
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", _folder);
        using var session = new InferenceSession(left.ToBytes(), options);
        Assert.Equal(["y"], session.OutputNames);

        var elsewhere = Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "elsewhere")).FullName, "copy.onnx");
        left.Save(elsewhere, externalDataThreshold: 100);
        File.Delete(path + ".data");
        Assert.Equal(model.ToBytes(), OnnxModel.Load(elsewhere).ToBytes());
        Assert.Contains("not there any more", Assert.Throws<InvalidDataException>(() => left.Save(elsewhere)).Message);
    }

    [Fact]
    public void Weight_files_that_are_in_use_are_not_overwritten()
    {
        var path = Path.Combine(_folder, "model.onnx");
        Model().Save(path, externalDataThreshold: 100);
        var left = OnnxModel.Load(path, leaveExternalData: true);
        left.Graph.Initializers["more"] = Tensor.Create<float>(new float[1000], 1000);
        Assert.Contains("another name", Assert.Throws<InvalidOperationException>(() => left.Save(path, externalDataThreshold: 100)).Message);
    }

    [Fact]
    public void Missing_or_short_weight_files_are_named()
    {
        var path = Path.Combine(_folder, "model.onnx");
        Model().Save(path, externalDataThreshold: 100);
        File.WriteAllBytes(path + ".data", new byte[10]);
        Assert.Contains("model.onnx.data", Assert.Throws<InvalidDataException>(() => OnnxModel.Load(path)).Message);
        File.Delete(path + ".data");
        Assert.Contains("missing beside the model", Assert.Throws<InvalidDataException>(() => OnnxModel.Load(path)).Message);
    }

    [Fact]
    public void Weights_outside_the_folder_are_refused()
    {
        var proto = Proto.ModelProto.Parser.ParseFrom(Model().ToBytes());
        var tensor = proto.Graph.Initializer[0];
        tensor.DataLocation = Proto.TensorProto.Types.DataLocation.External;
        tensor.ExternalData.Add(new Proto.StringStringEntryProto { Key = "location", Value = "../../etc/passwd" });
        var path = Path.Combine(_folder, "model.onnx");
        File.WriteAllBytes(path, Google.Protobuf.MessageExtensions.ToByteArray(proto));
        Assert.Contains("outside the model's folder", Assert.Throws<InvalidDataException>(() => OnnxModel.Load(path)).Message);
    }

    [Theory]
    [InlineData(new byte[] { 1, 2, 3 })]
    [InlineData(new byte[] { })]
    public void Other_files_are_refused(byte[] bytes) =>
        Assert.Contains("not an ONNX model", Assert.Throws<InvalidDataException>(() => OnnxModel.Load(bytes)).Message);

    [Fact]
    public void Inlining_a_function_leaves_the_result_as_it_is()
    {
        var model = Model();
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 8, 8, 16) };
        var before = SessionRunner.Run(model, inputs)["y"];
        Inliner.Inline(model.Graph, model.Functions, _ => true);
        Assert.DoesNotContain(model.Graph.Nodes, node => node.Domain == AttentionOp.Domain);
        Assert.Equal(before.AsSpan<float>(), SessionRunner.Run(model, inputs)["y"].AsSpan<float>());
    }

    private static OnnxModel Model()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 8, 8, 16]);
        var projected = x.MatMul(builder.Initializer("weight", RandomTensor.Float(2, 16, 48)));
        var parts = projected.Split(-1, 16, 16, 16);
        builder.Output("y", BiLevelRoutingAttention.Apply(parts[0], parts[1], parts[2], headCount: 2, windowCount: 4, topK: 3));
        return builder.ToModel();
    }
}
