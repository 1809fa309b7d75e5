using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The assignment of each target to a query of its own at the least sum of costs, for each item of a batch.
/// <para>Source: the Hungarian method with potentials, one shortest augmenting path a target; Kuhn, "The Hungarian Method for the
/// Assignment Problem", 1955; Jonker and Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment
/// Problems", 1987.</para>
/// <list type="bullet">
/// <item>Inputs: <c>cost</c> [N, Q, T] float; <c>count</c> [N] int64, the number of targets of each item, at most Q: those behind are
/// passed over.</item>
/// <item>Outputs: <c>assignment</c> [N, T] int64, the query of each target, -1 for those that are passed over.</item>
/// </list>
/// It has no gradient.
/// </summary>
public sealed class LinearAssignment : AttentionOp
{
    private const TensorElementType Float = TensorElementType.Float, Int64 = TensorElementType.Int64, Bool = TensorElementType.Bool;

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="cost">[N, Q, T]</param>
    /// <param name="count">[N] int64</param>
    /// <returns>[N, T] int64</returns>
    public static Value Apply(Value cost, Value count) => cost.Builder.Op(nameof(LinearAssignment), [cost, count], domain: Domain);

    // Rows are targets and columns queries, both from 1: column 0 stands for "not assigned yet", row 0 for "no target". The state, for
    // each item of the batch: potentials of rows [N, T + 1] and columns [N, Q + 1], the row that each column is assigned to [N, Q + 1].
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["cost", "count"], ["assignment"], [], (builder, inputs) =>
        {
            var table = builder.Op("Pad", [inputs[0].Transpose(0, 2, 1), builder.Int64(0, 1, 1, 0, 0, 0)]);
            var (batch, rows, columns) = (table.ShapeOf(0, 1), table.ShapeOf(1, 2), table.ShapeOf(2, 3));
            var ofRows = Zeros(builder, builder.Concat(0, batch, rows)).Cast(Float);
            var ofColumns = Zeros(builder, builder.Concat(0, batch, columns));
            var targets = (rows - builder.Int64(1)).Squeeze(0);
            var states = builder.Ops(
                "Loop", [targets, null, table, inputs[1].Unsqueeze(1), ofRows, ofColumns.Cast(Float), ofColumns], 5,
                new() { ["body"] = AssignOne() });

            // [N, T, Q]: whether a query is that of a target.
            var numbers = builder.Op("Range", [Scalar(builder, 1), targets + Scalar(builder, 1), Scalar(builder, 1)]).Reshape(1, -1, 1);
            var isAssigned = builder.Op("Equal", [states[4].Slice(1, 1, long.MaxValue).Unsqueeze(1), numbers]).Cast(Float);
            var query = builder.Op("ArgMax", [isAssigned], new() { ["axis"] = 2, ["keepdims"] = 0 });
            return [isAssigned.ReduceMax([2]).Cast(Bool).Where(query, Scalar(builder, -1))];
        });

    // One iteration: the shortest augmenting path from one more target.
    private static Graph AssignOne() => GraphBuilder.BuildLoopBody(
        "assign", [("table", Float), ("count", Int64), ("rows", Float), ("columns", Float), ("row_of", Int64)],
        (builder, inputs) =>
        {
            var (number, table, count, ofRows, ofColumns, rowOf) = (inputs[0], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6]);
            var row = number + Scalar(builder, 1);
            var start = builder.Op("LessOrEqual", [row, count]).Where(row, Scalar(builder, 0));
            var column = Zeros(builder, start.ShapeOf());
            rowOf = builder.Op("ScatterElements", [rowOf, column, start], new() { ["axis"] = 1 });
            var none = Zeros(builder, rowOf.ShapeOf());
            var infinite = none.Cast(Float) + builder.Constant(Tensor.Scalar(float.PositiveInfinity));
            var states = builder.Ops(
                "Loop", [null, HasRow(builder, rowOf, column), table, ofRows, ofColumns, rowOf, column, none.Cast(Bool), infinite, none], 8,
                new() { ["body"] = ExtendPath() });
            var augmented = builder.Ops(
                "Loop", [null, IsAny(builder, states[4]), rowOf, states[4], states[7]], 3, new() { ["body"] = WalkBack() });
            return [True(builder), table, count, states[1], states[2], augmented[0]];
        });

    // Takes the nearest column that the path has not reached.
    private static Graph ExtendPath() => GraphBuilder.BuildLoopBody(
        "extend",
        [
            ("table", Float), ("rows", Float), ("columns", Float), ("row_of", Int64),
            ("column", Int64), ("is_reached", Bool), ("distance", Float), ("before", Int64),
        ],
        (builder, inputs) =>
        {
            var (table, ofRows, ofColumns, rowOf, column) = (inputs[2], inputs[3], inputs[4], inputs[5], inputs[6]);
            var (isReached, distance, before) = (inputs[7], inputs[8], inputs[9]);
            var row = rowOf.GatherElements(column, 1);
            var isActive = builder.Op("Greater", [row, Scalar(builder, 0)]);
            isReached = builder.Op("Or", [isReached, builder.Op("And",
                [isActive, builder.Op("Equal", [Numbers(builder, rowOf), column])])]);
            var reduced = builder.Op("GatherND", [table, row], new() { ["batch_dims"] = 1 }) - ofRows.GatherElements(row, 1) - ofColumns;
            var isBetter = builder.Op("And", [builder.Op("Not", [isReached]), builder.Op("Less", [reduced, distance])]);
            isBetter = builder.Op("And", [isBetter, isActive]);
            distance = isBetter.Where(reduced, distance);
            before = isBetter.Where(column, before);

            var open = isReached.Where(builder.Constant(Tensor.Scalar(float.PositiveInfinity)), distance);
            var nearest = builder.Op("ArgMin", [open], new() { ["axis"] = 1, ["keepdims"] = 1 });
            var step = isActive.Where(open.GatherElements(nearest, 1), builder.Constant(Tensor.Scalar(0f)));
            var ofReached = isReached.Cast(Float) * step;
            ofRows = builder.Op("ScatterElements", [ofRows, rowOf, ofReached], new() { ["axis"] = 1, ["reduction"] = "add" });
            ofColumns -= ofReached;
            distance = isReached.Where(distance, distance - step);
            column = isActive.Where(nearest, column);
            return [HasRow(builder, rowOf, column), table, ofRows, ofColumns, rowOf, column, isReached, distance, before];
        });

    // Moves the assignments along the path by one column.
    private static Graph WalkBack() => GraphBuilder.BuildLoopBody(
        "walk", [("row_of", Int64), ("column", Int64), ("before", Int64)], (builder, inputs) =>
        {
            var (rowOf, column, before) = (inputs[2], inputs[3], inputs[4]);
            var previous = before.GatherElements(column, 1);
            var moved = builder.Op("ScatterElements", [rowOf, column, rowOf.GatherElements(previous, 1)], new() { ["axis"] = 1 });
            return [IsAny(builder, previous), moved, previous, before];
        });

    private static Value HasRow(GraphBuilder builder, Value rowOf, Value column) => IsAny(builder, rowOf.GatherElements(column, 1));

    private static Value IsAny(GraphBuilder builder, Value numbers) => builder.Op(
        "Greater", [builder.Op("ReduceMax", [numbers], new() { ["keepdims"] = 0 }), Scalar(builder, 0)]);

    private static Value Numbers(GraphBuilder builder, Value row) => builder.Op(
        "Range", [Scalar(builder, 0), row.ShapeOf(1, 2).Squeeze(0), Scalar(builder, 1)]);

    private static Value Zeros(GraphBuilder builder, Value sizes) =>
        builder.Op("ConstantOfShape", [sizes], new() { ["value"] = Tensor.Int64(0) });

    private static Value Scalar(GraphBuilder builder, long value) => builder.Constant(Tensor.Scalar(value));

    private static Value True(GraphBuilder builder) => builder.Constant(Tensor.Scalar(true));

    internal override bool RunsOnHost => true;

    internal override bool KeepsSingle(int input) => true;

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => [null, null];

    internal override IEnumerable<Kernel> Kernels =>
    [
        new KernelSignature(
            Name,
            ["cost", new("count") { Type = TensorElementType.Int64 }],
            [new("assignment") { Type = TensorElementType.Int64 }]).Cpu<float>(_ => new LinearAssignmentKernel()),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
        [new(TensorElementType.Int64, inputs[0].Shape is { } shape ? [shape[0], shape[2]] : null)];
}
