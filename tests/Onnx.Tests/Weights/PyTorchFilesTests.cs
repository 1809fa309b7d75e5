using System.Diagnostics;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

/// <summary>Files that PyTorch wrote (PyTorchFiles/make-files.py).</summary>
public class PyTorchFilesTests
{
    [Fact]
    public void All_types_of_elements_are_read()
    {
        using var file = PyTorchCheckpoint.Open(PathOf("types.pth"));
        Assert.Equal(
            ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"], file.Names);
        Assert.Null(file.Entry);
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("float32").AsSpan<float>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("float64").AsSpan<double>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], Array.ConvertAll(file.Read("float16").AsSpan<Half>().ToArray(), value => (float)value));
        Assert.Equal([0, 1, 2, 3, 4, 5], new Checkpoint(file.ReadAll()).Find("bfloat16", [2, 3], Initialization.Zeros)!.AsSpan<float>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("int64").AsSpan<long>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("int32").AsSpan<int>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("int16").AsSpan<short>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("int8").AsSpan<sbyte>().ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5], file.Read("uint8").AsSpan<byte>().ToArray());
        Assert.Equal([false, true, true, true, true, true], file.Read("bool").AsSpan<bool>().ToArray());
        Assert.All(file.Names, name => Assert.Equal([2, 3], file.Read(name).Dims));
    }

    [Fact]
    public void Views_of_a_storage_are_read_in_their_own_order()
    {
        using var file = PyTorchCheckpoint.Open(PathOf("views.pth"));
        Check("base", [4, 6], [.. Enumerable.Range(0, 24).Select(value => (float)value)]);
        Check("transposed", [6, 4], [.. Enumerable.Range(0, 24).Select(i => (float)((i % 4 * 6) + (i / 4)))]);
        Check("column", [4], [2, 8, 14, 20]);
        Check("part", [2, 3], [7, 9, 11, 13, 15, 17]);
        Check("scalar", [], [23]);
        Check("expanded", [3, 6], [6, 7, 8, 9, 10, 11, 6, 7, 8, 9, 10, 11, 6, 7, 8, 9, 10, 11]);
        Check("empty", [0, 6], []);
        Check("parameter", [6], [0, 1, 2, 3, 4, 5]);

        void Check(string name, long[] dims, float[] values)
        {
            var tensor = file.Read(name);
            Assert.Equal(dims, tensor.Dims);
            Assert.Equal(values, tensor.AsSpan<float>().ToArray());
        }
    }

    [Fact]
    public void Weights_are_found_among_what_training_leaves()
    {
        var checkpoint = Checkpoint.Load(PathOf("training.pth"));
        Assert.Equal(["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"], checkpoint.Names);
        Assert.Equal([0.5f, 0.5f], checkpoint.Find("0.bias", [2], Initialization.Zeros)!.AsSpan<float>().ToArray());
        Assert.Equal(["entry 'state_dict' taken", "prefix 'module.' taken off all names"], checkpoint.Notes);

        var average = Checkpoint.Load(PathOf("training.pth"), "state_dict_ema");
        Assert.Equal([1f, 1f], average.Find("0.bias", [2], Initialization.Zeros)!.AsSpan<float>().ToArray());

        var message = Assert.Throws<InvalidDataException>(() => Checkpoint.Load(PathOf("training.pth"), "model")).Message;
        Assert.Contains("no weights under 'model'", message);
        Assert.Contains("'optimizer' of which hold tensors: state_dict, state_dict_ema", message);
    }

    [Fact]
    public void Newer_protocols_of_pickle_are_read()
    {
        using var file = PyTorchCheckpoint.Open(PathOf("protocol4.pth"));
        Assert.Equal([0, 1, 2, 3], file.Read("weight").AsSpan<float>().ToArray());
    }

    [Fact]
    public void Whole_models_are_refused_by_the_name_of_their_class()
    {
        var message = Assert.Throws<InvalidDataException>(() => Checkpoint.Load(PathOf("model.pth"))).Message;
        Assert.Contains("'torch.nn.modules.container.Sequential'", message);
        Assert.Contains("torch.save(model.state_dict(), path)", message);
    }

    [Theory]
    [InlineData("legacy.pth", "torch.save(torch.load(")]
    [InlineData("script.pth", "torch.jit.load(")]
    public void Other_formats_are_refused_with_the_way_to_convert_them(string name, string mend)
    {
        var message = Assert.Throws<NotSupportedException>(() => Checkpoint.Load(PathOf(name))).Message;
        Assert.Contains(name, message);
        Assert.Contains(mend, message);
    }

    [Fact]
    public void Content_counts_and_not_the_extension()
    {
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + ".pth");
        try
        {
            SafetensorsFile.Write(path, new Dictionary<string, Tensor> { ["weight"] = Tensor.Scalar(1f) });
            Assert.Equal(["weight"], Checkpoint.Load(path).Names);
            File.Copy(PathOf("protocol4.pth"), Path.ChangeExtension(path, ".safetensors"));
            Assert.Equal(["weight"], Checkpoint.Load(Path.ChangeExtension(path, ".safetensors")).Names);
        }
        finally
        {
            File.Delete(path);
            File.Delete(Path.ChangeExtension(path, ".safetensors"));
        }
    }

    [Fact]
    public void Files_of_the_PyTorch_of_this_machine_are_read()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            File.Copy(PathOf("make-files.py"), Path.Combine(folder.FullName, "make-files.py"));
            Assert.SkipUnless(File.Exists("/usr/bin/python3"), "no Python");
            using var python = Process.Start(new ProcessStartInfo("/usr/bin/python3", ["make-files.py"])
            {
                WorkingDirectory = folder.FullName,
                RedirectStandardError = true,
            })!;
            var error = python.StandardError.ReadToEnd();
            python.WaitForExit();
            Assert.SkipWhen(error.Contains("ModuleNotFoundError"), "no PyTorch");
            Assert.True(python.ExitCode == 0, error);
            foreach (var name in new[] { "types", "views", "training", "protocol4" })
            {
                var expected = Checkpoint.Load(PathOf($"{name}.pth"));
                var actual = Checkpoint.Load(Path.Combine(folder.FullName, $"{name}.pth"));
                Assert.Equal(expected.Names, actual.Names);
            }
            using var file = PyTorchCheckpoint.Open(Path.Combine(folder.FullName, "views.pth"));
            Assert.Equal([2, 8, 14, 20], file.Read("column").AsSpan<float>().ToArray());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string PathOf(string name) => Path.Combine(AppContext.BaseDirectory, "PyTorchFiles", name);
}
