using System.Text;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The attributes of a node, while its kernel is created.</summary>
internal readonly unsafe ref struct KernelAttributes(void* info)
{
    private readonly void* _info = info;

    /// <exception cref="KernelException">The attribute is missing or of another kind.</exception>
    public long Int(string name) => OrtCApi.TryGetAttribute(_info, name, out long value) ? value : throw Missing(name, "int");

    public long Int(string name, long orElse) => OrtCApi.TryGetAttribute(_info, name, out long value) ? value : Default(name, "int", orElse);

    public float Float(string name) => OrtCApi.TryGetAttribute(_info, name, out float value) ? value : throw Missing(name, "float");

    public float Float(string name, float orElse) =>
        OrtCApi.TryGetAttribute(_info, name, out float value) ? value : Default(name, "float", orElse);

    public string String(string name) => OrtCApi.TryGetAttribute(_info, name, out byte[] value) ? Text(value) : throw Missing(name, "string");

    public string String(string name, string orElse) =>
        OrtCApi.TryGetAttribute(_info, name, out byte[] value) ? Text(value) : Default(name, "string", orElse);

    public long[] Ints(string name) => OrtCApi.TryGetAttribute(_info, name, out long[] value) ? value : throw Missing(name, "ints");

    public long[] Ints(string name, long[] orElse) => OrtCApi.TryGetAttribute(_info, name, out long[] value) ? value : Default(name, "ints", orElse);

    public float[] Floats(string name) => OrtCApi.TryGetAttribute(_info, name, out float[] value) ? value : throw Missing(name, "floats");

    public float[] Floats(string name, float[] orElse) =>
        OrtCApi.TryGetAttribute(_info, name, out float[] value) ? value : Default(name, "floats", orElse);

    /// <summary>An int attribute of at least one.</summary>
    public int PositiveInt(string name)
    {
        var value = Int(name);
        return value is > 0 and <= int.MaxValue ? (int)value : throw new KernelException($"attribute '{name}' is {value}, expected a positive number");
    }

    private T Default<T>(string name, string kind, T orElse) =>
        KindOf(name) is { } actual ? throw new KernelException($"attribute '{name}' is of kind {actual}, expected {kind}") : orElse;

    private KernelException Missing(string name, string kind) => new(
        KindOf(name) is { } actual ? $"attribute '{name}' is of kind {actual}, expected {kind}" : $"attribute '{name}' ({kind}) is missing");

    private string? KindOf(string name) =>
        OrtCApi.TryGetAttribute(_info, name, out long _) ? "int"
        : OrtCApi.TryGetAttribute(_info, name, out float _) ? "float"
        : OrtCApi.TryGetAttribute(_info, name, out byte[] _) ? "string"
        : OrtCApi.TryGetAttribute(_info, name, out long[] _) ? "ints"
        : OrtCApi.TryGetAttribute(_info, name, out float[] _) ? "floats"
        : null;

    private static string Text(byte[] zeroTerminated) => Encoding.UTF8.GetString(zeroTerminated).TrimEnd('\0');
}
