using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Proto;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>The bridge from ONNX Runtime to kernels in C#, by kernels made for the purpose.</summary>
public sealed class CustomOpTests
{
    private const string Domain = "test.kernels";

    private static readonly KernelSignature Scale = new(
        "Scale",
        ["x", new KernelParameter("offset") { Optional = true }],
        [new KernelParameter("y") { ShapeOfInput = 0 }, new KernelParameter("count") { Type = TensorElementType.Int64, Optional = true }]);

    private static readonly KernelSignature Failing = new("Failing", ["x"], ["y"]);

    private static readonly CustomOpDomain Kernels = new(Domain, [
        Scale.Cpu<float>(attributes => new ScaleKernel(attributes)),
        Scale.Cpu<double>(_ => new DoubleScaleKernel()),
        Failing.Cpu<float>(attributes => new FailingKernel(attributes.String("where"))),
    ]);

    [Fact]
    public void ApiVersionIsThatOfTheLoadedLibrary()
    {
        OrtCApi.EnsureLoaded();
        Assert.InRange(OrtCApi.Version, 22u, 31u);
        Assert.StartsWith($"1.{OrtCApi.Version}.", OrtEnv.Instance().GetVersionString());
    }

    [Fact]
    public void AttributesOfEveryKindReachTheKernel()
    {
        var model = ScaleModel().Attribute("factor", 4f).Attribute("mode", "säge").Attribute("exponents", new long[] { 1, 2 })
            .Attribute("terms", new[] { 0.5f, 0.25f }).Attribute("repeat", 3);
        Assert.Equal([4f * (1 + "säge".Length + (1 + 2) + 0.75f + 3)], Run(model, [1]));
    }

    [Fact]
    public void AbsentAttributesGetTheirDefaults() => Assert.Equal([2f], Run(ScaleModel(), [1]));

    [Fact]
    public void AMissingAttributeIsNamed()
    {
        var model = new SingleNodeModel(Domain, "Failing").Input("x", TensorElementType.Float, 1).Output("y", TensorElementType.Float);
        var error = Assert.Throws<OnnxRuntimeException>(() => model.Session(Kernels.AddTo));
        Assert.Contains("test.kernels::Failing: attribute 'where' (string) is missing", error.Message);
    }

    [Fact]
    public void AnAttributeOfAnotherKindIsNamed()
    {
        var error = Assert.Throws<OnnxRuntimeException>(() => ScaleModel().Attribute("factor", 2).Session(Kernels.AddTo));
        Assert.Contains("test.kernels::Scale: attribute 'factor' is of kind int, expected float", error.Message);
    }

    [Fact]
    public void AnOptionalInputIsSeenWhereItIsPresent()
    {
        using var session = ScaleModel().Input("offset", TensorElementType.Float, -1).Session(Kernels.AddTo);
        using var results = session.Run([Tensor("x", [1, 2]), Tensor("offset", [10, 20])]);
        Assert.Equal([12f, 24f], results[0].AsTensor<float>());
    }

    [Fact]
    public void AnOptionalOutputIsMadeWhereItIsAskedFor()
    {
        using var session = ScaleModel().Output("count", TensorElementType.Int64).Session(Kernels.AddTo);
        using var results = session.Run([Tensor("x", [1, 2, 3])]);
        Assert.Equal([3L], results[1].AsTensor<long>());
    }

    [Fact]
    public void EachElementTypeHasItsKernel()
    {
        using var session = new SingleNodeModel(Domain, "Scale")
            .Input("x", TensorElementType.Double, -1).Output("y", TensorElementType.Double).Session(Kernels.AddTo);
        using var results = session.Run([NamedOnnxValue.CreateFromTensor("x", new DenseTensor<double>(new double[] { 1, 2 }, [2]))]);
        Assert.Equal([100d, 200d], results[0].AsTensor<double>());
    }

    [Fact]
    public void ShapesAreInferredWhenTheSessionIsCreated()
    {
        using var session = new SingleNodeModel(Domain, "Scale")
            .Input("x", TensorElementType.Float, -1, 3).Output("y", TensorElementType.Float).Session(Kernels.AddTo);
        Assert.Equal([-1, 3], session.OutputMetadata["y"].Dimensions);
        Assert.Equal("x0", session.OutputMetadata["y"].SymbolicDimensions[0]);
    }

    [Theory]
    [InlineData("Create", "made to fail in Create")]
    [InlineData("Compute", "made to fail in Compute")]
    [InlineData("ParallelFor", "made to fail in ParallelFor")]
    [InlineData("Expect", "input 'x' has shape [2], expected [N, 3] = [?, 3]")]
    public void ExceptionsReachTheCallerWithTheNameOfTheOp(string where, string message)
    {
        var model = new SingleNodeModel(Domain, "Failing").Attribute("where", where)
            .Input("x", TensorElementType.Float, -1).Output("y", TensorElementType.Float);
        var error = Assert.Throws<OnnxRuntimeException>(() =>
        {
            using var session = model.Session(Kernels.AddTo);
            session.Run([Tensor("x", [1, 2])]);
        });
        Assert.Contains($"test.kernels::Failing: {message}", error.Message);
    }

    [Fact]
    public void ManyCallersAtOnceShareASession()
    {
        using var session = ScaleModel().Session(Kernels.AddTo);
        Parallel.For(0, 64, i =>
        {
            using var results = session.Run([Tensor("x", [i, i + 1])]);
            Assert.Equal([2f * i, 2f * (i + 1)], results[0].AsTensor<float>());
        });
    }

    [Fact]
    public void KernelsAreDisposedWithTheirSession()
    {
        var before = ScaleKernel.Disposed;
        ScaleModel().Session(Kernels.AddTo).Dispose();
        Assert.True(ScaleKernel.Disposed > before);
    }

    [Fact]
    public void AFunctionBodyRunsWithoutTheKernelAndTheKernelInItsPlace()
    {
        var model = ScaleModel();
        model.Functions.Add(new FunctionProto
        {
            Domain = Domain,
            Name = "Scale",
            Input = { "x" },
            Output = { "y" },
            OpsetImport = { new OperatorSetIdProto { Version = 20 } },
            Node = { new NodeProto { OpType = "Neg", Input = { "x" }, Output = { "y" } } },
        });
        using (var session = model.Session())
        {
            using var results = session.Run([Tensor("x", [3])]);
            Assert.Equal([-3f], results[0].AsTensor<float>());
        }
        Assert.Equal([6f], Run(model, [3]));
    }

    private static SingleNodeModel ScaleModel() =>
        new SingleNodeModel(Domain, "Scale").Input("x", TensorElementType.Float, -1).Output("y", TensorElementType.Float);

    private static float[] Run(SingleNodeModel model, float[] x)
    {
        using var session = model.Session(Kernels.AddTo);
        using var results = session.Run([Tensor("x", x)]);
        return [.. results[0].AsTensor<float>()];
    }

    private static NamedOnnxValue Tensor(string name, float[] values) =>
        NamedOnnxValue.CreateFromTensor(name, new DenseTensor<float>(values, [values.Length]));

    private sealed class ScaleKernel(KernelAttributes attributes) : IKernel
    {
        private readonly float _factor = attributes.Float("factor", 2)
            * (1 + attributes.String("mode", "").Length + attributes.Ints("exponents", []).Sum()
            + attributes.Floats("terms", []).Sum() + attributes.Int("repeat", 0));

        public static int Disposed { get; private set; }

        public unsafe void Compute(KernelContext context)
        {
            var x = context.Input(0).Expect("[N]", -1);
            var offset = context.Input(1);
            var count = x.Shape[0];
            var work = new Work
            {
                X = x.Data<float>(),
                Offset = offset.IsPresent ? offset.Data<float>() : null,
                Y = context.Output<float>(0, count),
                Factor = _factor,
            };
            context.ParallelFor(work, count);
            var counted = context.Output<long>(1, 1);
            if (counted != null)
                *counted = count;
        }

        public void Dispose() => Disposed++;

        private unsafe struct Work : IParallelWork
        {
            public float* X;
            public float* Offset;
            public float* Y;
            public float Factor;

            public readonly void Run(int index) => Y[index] = X[index] * Factor + (Offset == null ? 0 : Offset[index]);
        }
    }

    private sealed class DoubleScaleKernel : IKernel
    {
        public unsafe void Compute(KernelContext context)
        {
            var x = context.Input(0).Expect("[N]", -1);
            var y = context.Output<double>(0, x.Shape[0]);
            using var memory = context.Allocate(x.Shape[0] * sizeof(double));
            Assert.Equal(0u, (nuint)memory.Data % 64);
            for (var i = 0; i < x.Shape[0]; i++)
            {
                ((double*)memory.Data)[i] = 100;
                y[i] = x.Data<double>()[i] * ((double*)memory.Data)[i];
            }
        }

        public void Dispose()
        {
        }
    }

    private sealed class FailingKernel : IKernel
    {
        private readonly string _where;

        public FailingKernel(string where)
        {
            _where = where;
            if (where == "Create")
                throw new KernelException("made to fail in Create");
        }

        public void Compute(KernelContext context)
        {
            if (_where == "Compute")
                throw new InvalidOperationException("made to fail in Compute");
            if (_where == "ParallelFor")
                context.ParallelFor(new FailingWork(), 100);
            context.Input(0).Expect("[N, 3]", -1, 3);
        }

        public void Dispose()
        {
        }

        private struct FailingWork : IParallelWork
        {
            public readonly void Run(int index)
            {
                if (index % 7 == 3)
                    throw new InvalidOperationException("made to fail in ParallelFor");
            }
        }
    }
}
