using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The kernels of group_norm.cu.</summary>
/// <typeparam name="T">The type of maps: <see cref="float"/> or <see cref="Half"/>; all else is float.</typeparam>
internal static unsafe class GroupNormLaunch<T>
    where T : unmanaged
{
    private const int Threads = 256;
    private const int LargestBlockCount = 8192;

    /// <summary>Elements that make a block of their own worth while.</summary>
    private const int PartLength = 8192;

    private static readonly CudaProgram Program = CudaProgram.For<T>("group_norm.cu");

    /// <summary>Into how many parts the groups are cut, so that the device is busy where there are few.</summary>
    public static int Parts(in GroupNormSizes sizes) =>
        PartialSums.Parts(sizes.AllGroups, (sizes.GroupLength + PartLength - 1) / PartLength);

    /// <summary>Bytes for <see cref="Parameters.Moments"/> and <see cref="Parameters.Partials"/>.</summary>
    public static long ScratchBytes(in GroupNormSizes sizes) =>
        (long)sizes.AllGroups * (sizeof(Vector4) + (Parts(sizes) * sizeof(Vector2)));

    /// <summary>Means and deviations of the groups.</summary>
    public static void Moments(nint stream, in Parameters parameters, in GroupNormSizes sizes)
    {
        Program.Function("sums").Launch(stream, new(sizes.AllGroups, parameters.Parts), Threads, 0, parameters);
        ForGroups("moments", stream, parameters, sizes);
    }

    /// <summary>A kernel that gives each group a thread.</summary>
    public static void ForGroups(string function, nint stream, in Parameters parameters, in GroupNormSizes sizes) =>
        Program.Function(function).Launch(stream, new((sizes.AllGroups + Threads - 1) / Threads), Threads, 0, parameters);

    /// <summary>A kernel that gives each channel of each example a warp.</summary>
    public static void ForChannels(string function, nint stream, in Parameters parameters, in GroupNormSizes sizes) =>
        Program.Function(function).Launch(
            stream, new(((sizes.Batch * sizes.Channels * 32) + Threads - 1) / Threads), Threads, 0, parameters);

    /// <summary>A kernel whose threads take elements.</summary>
    public static void ForElements(string function, nint stream, in Parameters parameters, in GroupNormSizes sizes)
    {
        var threads = sizes.Batch * sizes.Channels * (sizes.Positions % 4 == 0 ? sizes.Positions / 4 : sizes.Positions);
        Program.Function(function).Launch(
            stream, new(Math.Min((threads + Threads - 1) / Threads, LargestBlockCount)), Threads, 0, parameters);
    }

    /// <summary>The struct of group_norm.cu.</summary>
    public struct Parameters
    {
        public T* OutputGrad;
        public T* X;
        public float* Scale;
        public float* Bias;
        public T* Result;
        public Vector2* Partials;
        public Vector4* Moments;
        public float* ChannelSums;
        public long Positions;
        public int Batch;
        public int Channels;
        public int Groups;
        public int Parts;
        public int Silu;
        public float Epsilon;

        /// <param name="sizes">Of the call.</param>
        /// <param name="scratch">As large as <see cref="ScratchBytes"/> says.</param>
        public Parameters(in GroupNormSizes sizes, void* scratch)
        {
            Moments = (Vector4*)scratch;
            Partials = (Vector2*)(Moments + sizes.AllGroups);
            Positions = sizes.Positions;
            Batch = (int)sizes.Batch;
            Channels = sizes.Channels;
            Groups = sizes.Groups;
            Parts = GroupNormLaunch<T>.Parts(sizes);
        }
    }
}
