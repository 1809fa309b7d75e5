using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

public sealed class CubinCacheTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("cubins").FullName;

    private int _compilations;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void CompilesOnceForTheSameIngredients()
    {
        Assert.Equal([1, 2, 3], Get("a", "b"));
        Assert.Equal([1, 2, 3], Get("a", "b"));
        Assert.Equal(1, _compilations);
        Get("ab", "");
        Assert.Equal(2, _compilations);
    }

    [Fact]
    public void ADamagedFileIsCompiledAgain()
    {
        Get("a");
        var file = Assert.Single(Directory.GetFiles(_directory));
        var content = File.ReadAllBytes(file);
        content[^1] ^= 1;
        File.WriteAllBytes(file, content);
        Assert.Equal([1, 2, 3], Get("a"));
        File.WriteAllBytes(file, content[..10]);
        Assert.Equal([1, 2, 3], Get("a"));
        Assert.Equal(3, _compilations);
        Get("a");
        Assert.Equal(3, _compilations);
    }

    [Fact]
    public void ADirectoryThatCannotBeWrittenCostsOnlyTime()
    {
        var file = Path.Combine(_directory, "file");
        File.WriteAllText(file, "");
        var cache = new CubinCache(Path.Combine(file, "below a file"));
        Assert.Equal([1, 2, 3], cache.GetOrAdd(["a"], Compile));
        Assert.Equal([1, 2, 3], new CubinCache(null).GetOrAdd(["a"], Compile));
    }

    private byte[] Get(params string[] ingredients) => new CubinCache(_directory).GetOrAdd(ingredients, Compile);

    private byte[] Compile()
    {
        _compilations++;
        return [1, 2, 3];
    }
}
