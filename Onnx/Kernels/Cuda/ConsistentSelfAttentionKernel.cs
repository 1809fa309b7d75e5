using System.Collections.Concurrent;
using System.Numerics;
using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Consistent self-attention on CUDA: in mode 2 the keys that each image may attend to are listed first, then a block takes queries of one
/// head of an image. float is multiplied as sums of two tf32.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class ConsistentSelfAttentionKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const int ListThreads = 1024;

    private static readonly CudaProgram ListProgram = new("consistent_keys.cu");

    private readonly ConsistentSelfAttentionArguments _arguments = new(attributes);

    public void Compute(KernelContext context)
    {
        var inputs = _arguments.Read<T>(context, 0);
        var pictures = inputs.Groups * inputs.Images;
        var isMasked = inputs.Mode == ConsistentAttentionMode.Masked;
        using var memory = context.Allocate(isMasked ? (long)inputs.Images * (inputs.Keys + 1) * sizeof(int) : 0);
        var counts = (int*)memory.Data;
        var parameters = new Parameters
        {
            Query = inputs.Query,
            Key = inputs.Key,
            Value = inputs.Value,
            BankKey = inputs.BankKey,
            BankValue = inputs.BankValue,
            Lists = isMasked ? counts + inputs.Images : null,
            Counts = counts,
            Output = context.Output<T>(0, pictures, inputs.Tokens, inputs.Channels),
            LogSumExp = context.Output<float>(1, inputs.Groups, inputs.Heads, inputs.Images * inputs.Tokens),
            Images = inputs.Images,
            Tokens = inputs.Tokens,
            BankTokens = inputs.BankTokens,
            Heads = inputs.Heads,
            SeesAll = inputs.Mode == ConsistentAttentionMode.All ? 1 : 0,
            Scale = inputs.Scale,
        };
        if (pictures == 0 || inputs.Tokens == 0)
            return;
        if (isMasked)
        {
            ListProgram.Function("list_keys").Launch(context.Stream, new(inputs.Images), ListThreads, 0, new ListParameters
            {
                KeyMask = inputs.KeyMask,
                Lists = parameters.Lists,
                Counts = counts,
                Keys = inputs.Keys,
                FirstOwn = inputs.FirstOwn(0),
                Tokens = inputs.Tokens,
            });
        }
        var tile = StoryTile.For(inputs);
        parameters.RowBlocks = tile.Blocks(inputs.Tokens);
        tile.Program.Function("attend").Launch(
            context.Stream, new((long)pictures * inputs.Heads * parameters.RowBlocks), tile.Warps * 32, tile.SharedBytes, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* Query;
        public T* Key;
        public T* Value;
        public T* BankKey;
        public T* BankValue;
        public int* Lists;
        public int* Counts;
        public T* Output;
        public float* LogSumExp;
        public int Images;
        public int Tokens;
        public int BankTokens;
        public int Heads;
        public int RowBlocks;
        public int SeesAll;
        public float Scale;
    }

    private struct ListParameters
    {
        public bool* KeyMask;
        public int* Lists;
        public int* Counts;
        public int Keys;
        public int FirstOwn;
        public int Tokens;
    }
}

/// <summary>What consistent_self_attention.cu is compiled for.</summary>
/// <param name="IsHalf">Whether elements are float16.</param>
/// <param name="Width">Channels of a head.</param>
/// <param name="RowTiles">Sixteens of queries of a warp.</param>
/// <param name="Warps">Warps of a block.</param>
/// <param name="Stages">Tiles of keys in shared memory.</param>
/// <param name="Copy">Bytes that are copied at once.</param>
internal readonly record struct StoryTile(bool IsHalf, int Width, int RowTiles, int Warps, int Stages, int Copy)
{
    private const int OldestArchitecture = 80;
    private const int MostCopied = 16;

    /// <summary>Channels of a head for which a warp has registers for the sums of 32 queries.</summary>
    private const int WidestOfTwoTiles = 80;

    private static readonly ConcurrentDictionary<StoryTile, CudaProgram> Programs = new();

    public CudaProgram Program => Programs.GetOrAdd(this, static tile => new CudaProgram(
        "consistent_self_attention.cu",
        [
            $"WIDTH={tile.Width}", $"ROW_TILES={tile.RowTiles}", $"WARPS={tile.Warps}", $"STAGES={tile.Stages}", $"COPY={tile.Copy}",
            .. tile.IsHalf ? ["T_HALF"] : Array.Empty<string>(),
        ]));

    private int Rows => Warps * RowTiles * 16;

    private int ElementSize => IsHalf ? 2 : 4;

    /// <summary>Elements from one row in shared memory to the next.</summary>
    private int Stride => ((Width + (32 / ElementSize) - 1) / (32 / ElementSize) * (32 / ElementSize)) + (16 / ElementSize);

    public int SharedBytes => (Rows + (2 * Stages * (IsHalf ? 64 : 32))) * Stride * ElementSize;

    /// <summary>Blocks for the queries of one head of an image.</summary>
    public int Blocks(int tokens) => (tokens + Rows - 1) / Rows;

    public static unsafe StoryTile For<T>(in ConsistentSelfAttentionInputs<T> inputs) where T : unmanaged
    {
        var device = CudaDriver.Instance.CurrentDevice;
        if (device.Architecture < OldestArchitecture)
            throw new KernelException($"compute capability {device.Major}.{device.Minor} is too old, the kernel needs 8.0");
        var rowTiles = inputs.Width <= WidestOfTwoTiles && inputs.Tokens > 64 ? 2 : 1;
        var rows = rowTiles * 16;
        var warps = inputs.Tokens > 2 * rows ? 4 : inputs.Tokens > rows ? 2 : 1;
        // Rows of all heads follow each other, so what divides a head's row and the addresses divides all addresses.
        var addresses = (nuint)inputs.Key | (nuint)inputs.Value | (nuint)inputs.BankKey | (nuint)inputs.BankValue
            | ((nuint)inputs.Width * (nuint)sizeof(T));
        var copy = Math.Min(MostCopied, 1 << BitOperations.TrailingZeroCount((uint)addresses | MostCopied));
        var tile = new StoryTile(typeof(T) == typeof(Half), inputs.Width, rowTiles, warps, Stages: 2, copy);
        if (tile.SharedBytes > device.SharedMemoryPerBlock)
            tile = tile with { Stages = 1 };
        if (tile.SharedBytes > device.SharedMemoryPerBlock)
            throw new KernelException($"heads of {inputs.Width} channels are too wide for this device's shared memory");
        return tile;
    }
}
