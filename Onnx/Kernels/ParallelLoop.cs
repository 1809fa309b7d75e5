using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The body of a parallel loop, with what it needs as fields.</summary>
internal interface IParallelWork
{
    void Run(int index);
}

/// <summary>Parallel loops on ONNX Runtime's intra-op threads, without allocation.</summary>
internal static unsafe class ParallelLoop
{
    public static void Run<TWork>(void* context, in TWork work, int count) where TWork : unmanaged, IParallelWork
    {
        if (count == 0)
            return;
        fixed (TWork* pinned = &work)
        {
            var loop = new Loop { Body = &Body<TWork>, Work = pinned };
            OrtCApi.ParallelFor(context, &Invoke, count, &loop);
            if (loop.Failure == 0)
                return;
            using var failure = GCHandle<Exception>.FromIntPtr(loop.Failure);
            ExceptionDispatchInfo.Throw(failure.Target);
        }
    }

    private static void Body<TWork>(void* work, int index) where TWork : unmanaged, IParallelWork => ((TWork*)work)->Run(index);

    [UnmanagedCallersOnly]
    private static void Invoke(void* state, nuint index)
    {
        var loop = (Loop*)state;
        if (Volatile.Read(ref loop->Failure) != 0)
            return;
        try
        {
            loop->Body(loop->Work, (int)index);
        }
        catch (Exception exception)
        {
            var failure = new GCHandle<Exception>(exception);
            if (Interlocked.CompareExchange(ref loop->Failure, GCHandle<Exception>.ToIntPtr(failure), 0) != 0)
                failure.Dispose();
        }
    }

    private struct Loop
    {
        public delegate*<void*, int, void> Body;
        public void* Work;
        public nint Failure;
    }
}
