namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The number of blocks of a launch; <paramref name="Y"/> and <paramref name="Z"/> are at most 65535.</summary>
internal readonly record struct GridSize(long X, int Y = 1, int Z = 1)
{
    public bool IsEmpty => X == 0 || Y == 0 || Z == 0;

    public override string ToString() => $"{X}x{Y}x{Z}";
}
