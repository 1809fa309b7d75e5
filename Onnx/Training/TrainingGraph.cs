using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Adds the loss to a graph that is to be trained, with the inputs (labels) and further outputs (metrics) it needs.</summary>
/// <param name="builder">
/// Extends the graph: <see cref="GraphBuilder.Input"/> adds labels, <see cref="GraphBuilder.Output"/> scalar metrics.
/// </param>
/// <param name="outputs">The outputs of the model by name.</param>
/// <returns>The scalar that training makes smaller.</returns>
public delegate Value LossFunction(GraphBuilder builder, IReadOnlyDictionary<string, Value> outputs);

/// <summary>What the numbers of a training are computed in.</summary>
public enum TrainingPrecision
{
    /// <summary>All in float32.</summary>
    Float32,

    /// <summary>
    /// Products, attention and what lies between them in float16, where that keeps the accuracy; parameters, the optimiser's state,
    /// running statistics and the loss in float32. The loss is scaled so that small gradients do not vanish; steps in which a gradient
    /// overflows are skipped and lower the scale. For CUDA; the CPU computes it too, but slower than float32.
    /// <para>Source: Micikevicius et al., "Mixed Precision Training", ICLR 2018 (arXiv 1710.03740).</para>
    /// </summary>
    Mixed,
}

/// <summary>How a model becomes a training graph.</summary>
public sealed record TrainingOptions
{
    /// <summary>The update rule.</summary>
    public Optimizer Optimizer { get; init; } = new AdamW();

    /// <summary>
    /// Another update rule for the parameters that <see cref="UsesSecondOptimizer"/> names, with a weight decay and factors on the learning
    /// rate of its own. Limit of the gradient and average are those of <see cref="Optimizer"/>, for all parameters. Null for none.
    /// </summary>
    public Sgd? SecondOptimizer { get; init; }

    /// <summary>Which parameters, by name, <see cref="SecondOptimizer"/> updates; by default none.</summary>
    public Func<string, bool> UsesSecondOptimizer { get; init; } = _ => false;

    /// <summary>Which float parameters are trained, by name; by default all.</summary>
    public Func<string, bool> IsTrainable { get; init; } = _ => true;

    /// <summary>What the model is computed in.</summary>
    public TrainingPrecision Precision { get; init; }

    /// <summary>
    /// The number of batches whose gradients are averaged for one update of the parameters, at least 1: what k batches of b examples make
    /// is what one of k * b would, up to rounding, if the loss is a mean. Batch normalisations see each batch by itself.
    /// </summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>Whether batch normalisations go on using the running statistics of the model instead of those of each batch.</summary>
    public bool FreezeBatchNormalization { get; init; }

    /// <summary>How fast the running statistics of batch normalisations follow those of the batches (PyTorch's sense).</summary>
    public float BatchNormalizationMomentum { get; init; } = 0.1f;
}

/// <summary>
/// Forward pass, loss, backward pass and the update of the parameters as one graph, or as two if the gradients of several batches are
/// added up in between. Parameters, moments and running statistics are flat vectors: inputs of the graph, of which it computes the next
/// ones.
/// </summary>
public sealed class TrainingGraph
{
    internal const string StepInput = "training/step";
    internal const string NoiseInput = "training/noise";
    internal const string LossScaleInput = "training/loss_scale";
    internal const string LossOutput = "training/loss";
    internal const string GradientScaleOutput = "training/gradient_scale";
    internal const string NextSuffix = ".next";
    internal const string StatisticsState = "training/statistics";
    private const string BatchStatisticsState = "training/statistics.batch";
    private const string NewStatistics = "training/statistics.new";

    private readonly TrainingOptions _options;
    private readonly List<StateVector> _state = [];
    private readonly List<StateVector> _sums = [];
    private readonly List<ParameterGroup> _groups = [];
    private IReadOnlyList<ParameterSlot> _statistics = [];

    private TrainingGraph(OnnxModel forward, TrainingOptions options) => (Forward, _options) = (forward, options);

    /// <summary>The model that is trained, with its first weights.</summary>
    public OnnxModel Forward { get; }

    /// <summary>The graph of one step. Its names that begin with <c>training/</c> are for <see cref="Trainer"/>.</summary>
    public OnnxModel Step { get; private set; } = null!;

    /// <summary>
    /// With <see cref="TrainingOptions.AccumulationSteps"/> the graph that updates the parameters, while <see cref="Step"/> adds up the
    /// gradients; else null.
    /// </summary>
    public OnnxModel? Update { get; private set; }

    /// <summary>The inputs to fill for each step: those of the model and of the loss.</summary>
    public IReadOnlyList<string> BatchInputs { get; private set; } = [];

    /// <summary>The scalar outputs that the loss function added.</summary>
    public IReadOnlyList<string> Metrics { get; private set; } = [];

    /// <summary>The number of trained parameters.</summary>
    public long ParameterCount => _groups.Sum(group => group.Count);

    internal Optimizer Optimizer => _options.Optimizer;

    internal TrainingPrecision Precision => _options.Precision;

    internal int AccumulationSteps => _options.AccumulationSteps;

    /// <summary>What changes with each step.</summary>
    internal IReadOnlyList<StateVector> State => _state;

    /// <summary>What changes with each batch, if several make up a step: sums of gradients and running statistics.</summary>
    internal IReadOnlyList<StateVector> Sums => _sums;

    internal IReadOnlyList<ParameterGroup> Groups => _groups;

    internal IReadOnlyList<ParameterSlot> Statistics => _statistics;

    /// <summary>The number of uniform random numbers that a step takes.</summary>
    internal long NoiseCount { get; private set; }

    /// <summary>Derives the training graph of a model.</summary>
    /// <param name="forward">The model. Symbolic sizes of its inputs are given by <paramref name="sizes"/>.</param>
    /// <param name="sizes">The sizes by symbol, such as N for the size of a batch.</param>
    /// <param name="loss">Adds the loss.</param>
    /// <param name="options">The optimiser and what is trained.</param>
    /// <exception cref="ArgumentException">A size is missing, nothing is trainable, or an option is out of range.</exception>
    /// <exception cref="NotSupportedException">
    /// There is no gradient rule for an operator between the parameters and the loss, or the model's operator set is too old.
    /// </exception>
    public static TrainingGraph Build(
        OnnxModel forward, IReadOnlyDictionary<string, long> sizes, LossFunction loss, TrainingOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(forward);
        ArgumentNullException.ThrowIfNull(sizes);
        ArgumentNullException.ThrowIfNull(loss);
        options ??= new();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.AccumulationSteps, 1);
        var training = new TrainingGraph(forward, options);
        var graph = forward.Graph.Clone();
        OpsetUpgrade.Apply(graph, forward.Opsets.GetValueOrDefault("", OnnxModel.DefaultOpset));
        Fix(graph, sizes, forward.Functions);
        training.AddNoise(graph);
        Backward.Prepare(graph, forward.Functions);
        Linear.Fuse(graph);
        BiasGelu.Fuse(graph);
        DepthwiseConv.Replace(graph);
        training.AddBatchStatistics(graph);
        var parameters = training.TrainableParameters(graph);
        var inHalf = training.Convert(graph, parameters);
        training.FlattenParameters(graph, parameters, inHalf);
        ShapeInference.Infer(graph);
        training.Complete(graph, loss);
        return training;
    }

    private static void Fix(Graph graph, IReadOnlyDictionary<string, long> sizes, IReadOnlyList<Function> functions)
    {
        GraphSimplifier.FixSizes(graph, sizes, functions);
        foreach (var input in graph.Inputs)
        {
            if (graph.Info(input).Shape is not { IsStatic: true } shape)
                throw new ArgumentException($"Input '{input}' has the shape {graph.Info(input).Shape}; give the sizes of all its symbols.",
                    nameof(sizes));
        }
        GraphSimplifier.Fold(graph);
    }

    /// <summary>Lets batch normalisations use and update statistics that are part of the state.</summary>
    private void AddBatchStatistics(Graph graph)
    {
        if (_options.FreezeBatchNormalization)
            return;
        var renamed = new List<(string Name, string Next, Tensor Tensor)>();
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var node = graph.Nodes[i];
            if (node is not { OpType: "BatchNormalization", Domain: "" } || !node.Inputs.Skip(3).All(graph.Initializers.ContainsKey))
                continue;
            string[] next = [node.Inputs[3] + NextSuffix, node.Inputs[4] + NextSuffix];
            graph.Nodes[i] = new()
            {
                OpType = nameof(BatchNormalizationTraining),
                Domain = AttentionOp.Domain,
                Name = node.Name,
                Inputs = node.Inputs,
                Outputs = [node.Outputs[0], .. next],
                Attributes = new()
                {
                    ["epsilon"] = node.Attributes.Float("epsilon", 1e-5f),
                    ["momentum"] = _options.BatchNormalizationMomentum,
                },
            };
            for (var j = 0; j < 2; j++)
                renamed.Add((node.Inputs[3 + j], next[j], graph.Initializers[node.Inputs[3 + j]]));
        }
        if (renamed.Count == 0)
            return;
        _statistics = ParameterGroup.Slot(renamed.Select(entry => (entry.Name, entry.Tensor)));
        AddState(graph, StatisticsState, Flat(graph, _statistics));
        if (AccumulationSteps == 1)
        {
            Cut(graph, StatisticsState, _statistics);
        }
        else
        {
            _sums.Add(new(BatchStatisticsState, Flat(graph, _statistics)));
            AddInput(graph, _sums[^1]);
            Cut(graph, BatchStatisticsState, _statistics);
        }
        graph.Nodes.Add(new()
        {
            OpType = "Concat",
            Inputs = [.. renamed.Select(entry => entry.Next)],
            Outputs = [NewStatistics],
            Attributes = new() { ["axis"] = 0 },
        });
    }

    /// <summary>Replaces Dropout and DropPath by products with masks made from one input of uniform random numbers.</summary>
    private void AddNoise(Graph graph)
    {
        var masks = new List<(int Node, string Input, Shape Shape, float Probability)>();
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var node = graph.Nodes[i];
            var isPath = AttentionOps.Find(node) is DropPath;
            if (!isPath && node is not { OpType: "Dropout", Domain: "" })
                continue;
            var shape = graph.Info(node.Inputs[0]).Shape!;
            var probability = isPath ? node.Attributes.Float("probability", 0)
                : node.Inputs.Count > 1 && graph.Initializers.TryGetValue(node.Inputs[1], out var ratio) ? ratio.AsSpan<float>()[0]
                : 0.5f;
            masks.Add((i, node.Inputs[0], isPath ? [shape[0], .. shape.Skip(1).Select(_ => new Dim(1))] : shape, probability));
        }
        if (masks.Count == 0)
            return;
        NoiseCount = masks.Sum(mask => mask.Shape.ElementCount);
        // Built apart, then put in front: each mask is 0 or 1 / (1 - probability).
        var front = new GraphBuilder(new Graph());
        var noise = front.Input(NoiseInput, TensorElementType.Float, [NoiseCount]);
        using var scope = front.Scope("training/masks");
        var parts = noise.Split(0, [.. masks.Select(mask => mask.Shape.ElementCount)]);
        for (var i = 0; i < masks.Count; i++)
        {
            var (index, input, shape, probability) = masks[i];
            var keeps = front.Op("GreaterOrEqual", [parts[i], front.Scalar(probability, noise)]).Cast(TensorElementType.Float);
            var mask = (keeps * (1 / (1 - (double)probability))).Reshape(shape.ToArray());
            var node = graph.Nodes[index];
            graph.Nodes[index] = new() { OpType = "Mul", Name = node.Name, Inputs = [input, mask.Name], Outputs = [node.Outputs[0]] };
        }
        graph.Inputs.Add(NoiseInput);
        foreach (var (name, info) in front.Graph.Values)
            graph.Values[name] = info;
        foreach (var (name, tensor) in front.Graph.Initializers)
            graph.Initializers[name] = tensor;
        graph.Nodes.InsertRange(0, front.Graph.Nodes);
    }

    private string[] TrainableParameters(Graph graph)
    {
        var used = graph.Nodes.SelectMany(node => node.Inputs).ToHashSet(StringComparer.Ordinal);
        var parameters = graph.Initializers
            .Where(pair => used.Contains(pair.Key) && IsParameter(pair.Key, pair.Value) && _options.IsTrainable(pair.Key))
            .Select(pair => pair.Key).ToArray();
        if (parameters.Length == 0)
            throw new ArgumentException("The model has no trainable parameters: no float initialiser with axes passes IsTrainable.");
        return parameters;
    }

    /// <summary>Lets the model compute in the precision of the options; returns the parameters that it then takes in half.</summary>
    private IReadOnlySet<string> Convert(Graph graph, string[] parameters)
    {
        if (_options.Precision == TrainingPrecision.Float32)
            return new HashSet<string>();
        ShapeInference.Infer(graph);
        return MixedPrecision.Apply(graph, parameters.ToHashSet(StringComparer.Ordinal));
    }

    private void FlattenParameters(Graph graph, string[] parameters, IReadOnlySet<string> inHalf)
    {
        // Parameters of a group are of one size, so that they are cut and joined as rows: ONNX Runtime's CUDA kernels make a table with an
        // entry for each position of the axis, and copy it to the device, in every step.
        var groups = parameters.Select(name => (Name: name, Tensor: graph.Initializers[name], Optimizer: OptimizerOf(name)))
            .GroupBy(entry => (
                entry.Optimizer,
                Decay: entry.Optimizer.Decays(entry.Name, entry.Tensor.Dims.Count) ? entry.Optimizer.WeightDecay : 0,
                Scale: entry.Optimizer.LearningRateScale(entry.Name),
                InHalf: inHalf.Contains(entry.Name),
                entry.Tensor.ElementCount));
        foreach (var group in groups)
        {
            var slots = ParameterGroup.Slot(group.Select(entry => (entry.Name, entry.Tensor)));
            var state = WeightsOf(_groups.Count);
            AddState(graph, state, Flat(graph, slots));
            foreach (var moment in group.Key.Optimizer.Moments)
                AddState(graph, MomentOf(_groups.Count, moment), new float[slots.Sum(slot => slot.Count)]);
            if (_options.Optimizer.AverageDecay is not null)
                AddState(graph, AverageOf(_groups.Count), Flat(graph, slots));
            _groups.Add(new(group.Key.Optimizer, group.Key.Decay, group.Key.Scale, group.Key.InHalf, slots));
            Cut(graph, state, slots, group.Key.InHalf);
        }
    }

    private Optimizer OptimizerOf(string parameter) =>
        _options.SecondOptimizer is { } second && _options.UsesSecondOptimizer(parameter) ? second : _options.Optimizer;

    // What Constant nodes became is no parameter.
    private bool IsParameter(string name, Tensor tensor) =>
        tensor.Type == TensorElementType.Float && Graph.IsWeight(name, tensor) && Forward.Graph.Initializers.ContainsKey(name);

    private void Complete(Graph graph, LossFunction lossFunction)
    {
        var builder = new GraphBuilder(graph);
        var modelOutputs = graph.Outputs.ToArray();
        graph.Outputs.Clear();
        Value loss;
        using (builder.Scope("loss"))
            loss = lossFunction(builder, modelOutputs.ToDictionary(name => name, name => builder[name]));
        if (loss.Shape.Rank != 0)
            throw new ArgumentException($"The loss has the shape {loss.Shape}, not that of a scalar.", nameof(lossFunction));
        Metrics = [.. graph.Outputs];
        foreach (var metric in Metrics)
        {
            var info = graph.Info(metric);
            if (info is not { Type: TensorElementType.Float, Shape.Rank: 0 })
                throw new ArgumentException($"Metric '{metric}' is {info.Type} {info.Shape}, not a float scalar.", nameof(lossFunction));
        }
        BatchInputs = [.. graph.Inputs.Where(name => !name.StartsWith("training/", StringComparison.Ordinal))];
        builder.Output(LossOutput, loss);

        var lossScale = _options.Precision == TrainingPrecision.Mixed ? builder.Input(LossScaleInput, TensorElementType.Float, []) : null;
        var gradients = Backward.Differentiate(
            loss, _groups.SelectMany(group => group.Slots, (group, slot) => group.ValueOf(slot)), lossScale);
        using var scope = builder.Scope("update");
        var flat = _groups.Select(group => FlatGradient(builder, group, gradients)).ToArray();
        if (AccumulationSteps == 1)
            AddUpdate(builder, flat, lossScale);
        else
            Accumulate(builder, flat);
        GraphSimplifier.RemoveUnused(graph);
        GraphSimplifier.NameOutputs(graph);
        Step = builder.ToModel();
    }

    private void AddUpdate(GraphBuilder builder, Value[] gradients, Value? lossScale)
    {
        var update = new ParameterUpdate(builder, _options.Optimizer, _groups);
        var scale = update.GradientScale(gradients, lossScale, AccumulationSteps);
        if (scale is not null)
            builder.Output(GradientScaleOutput, scale);
        update.Add(gradients, builder.Input(StepInput, TensorElementType.Float, [3]), scale);
        if (_statistics.Count == 0)
            return;
        var statistics = ParameterUpdate.Unless(
            scale, builder[StatisticsState], builder[AccumulationSteps == 1 ? NewStatistics : BatchStatisticsState]);
        builder.Output(StatisticsState + NextSuffix, statistics);
        if (AccumulationSteps > 1)
            builder.Output(BatchStatisticsState + NextSuffix, statistics);
    }

    /// <summary>Adds the gradients to sums, and makes a graph of its own that updates the parameters and sets the sums to zero.</summary>
    private void Accumulate(GraphBuilder builder, Value[] gradients)
    {
        var update = new GraphBuilder("update");
        foreach (var state in _state)
            update.Input(state.Name, TensorElementType.Float, [state.Initial.Length]);
        if (_statistics.Count > 0)
        {
            update.Input(BatchStatisticsState, TensorElementType.Float, [_sums[0].Initial.Length]);
            builder.Output(BatchStatisticsState + NextSuffix, builder[NewStatistics]);
        }
        var sums = new Value[gradients.Length];
        for (var i = 0; i < sums.Length; i++)
        {
            var vector = new StateVector($"training/gradient.{i}", new float[_groups[i].Count]);
            _sums.Add(vector);
            builder.Output(vector.Next, builder.Input(vector.Name, TensorElementType.Float, [_groups[i].Count]) + gradients[i]);
            sums[i] = update.Input(vector.Name, TensorElementType.Float, [_groups[i].Count]);
            update.Output(vector.Next, update.Scalar(0, sums[i]).Expand(update.Int64(_groups[i].Count)));
        }
        AddUpdate(update, sums,
            _options.Precision == TrainingPrecision.Mixed ? update.Input(LossScaleInput, TensorElementType.Float, []) : null);
        GraphSimplifier.NameOutputs(update.Graph);
        Update = update.ToModel();
        // Moments and averages are of the update alone.
        var used = builder.Graph.Nodes.SelectMany(node => node.Inputs).ToHashSet(StringComparer.Ordinal);
        builder.Graph.Inputs.RemoveAll(input => input.StartsWith("training/", StringComparison.Ordinal) && !used.Contains(input));
    }

    private static Value FlatGradient(GraphBuilder builder, ParameterGroup group, Dictionary<string, Value> gradients) =>
        builder.Concat(0, [.. group.Slots.Select(slot => gradients.TryGetValue(group.ValueOf(slot), out var gradient)
            ? gradient.ReshapeTo(1, slot.Count)
            : builder.Scalar(0, builder[group.ValueOf(slot)]).Expand(builder.Int64(1, slot.Count)))])
            .ReshapeTo(group.Count).CastTo(TensorElementType.Float);

    internal static string WeightsOf(int group) => $"training/weights.{group}";

    internal static string AverageOf(int group) => $"training/average.{group}";

    internal static string MomentOf(int group, string moment) => $"training/{moment}.{group}";

    private void AddState(Graph graph, string name, float[] initial)
    {
        _state.Add(new(name, initial));
        AddInput(graph, _state[^1]);
    }

    private static void AddInput(Graph graph, StateVector vector)
    {
        graph.Inputs.Add(vector.Name);
        graph.Values[vector.Name] = new(TensorElementType.Float, [vector.Initial.Length]);
    }

    private static float[] Flat(Graph graph, IReadOnlyList<ParameterSlot> slots)
    {
        var flat = new float[slots.Sum(slot => slot.Count)];
        foreach (var slot in slots)
            graph.Initializers[slot.Name].AsSpan<float>().CopyTo(flat.AsSpan((int)slot.Offset));
        return flat;
    }

    /// <summary>Makes parameters from their flat vector at the front of the graph; they keep their names.</summary>
    private static void Cut(Graph graph, string vector, IReadOnlyList<ParameterSlot> slots, bool inHalf = false)
    {
        var nodes = new List<Node>();
        if (inHalf)
        {
            nodes.Add(new()
            {
                OpType = "Cast",
                Name = vector,
                Inputs = [vector],
                Outputs = [vector = MixedPrecision.InHalf(vector)],
                Attributes = new() { ["to"] = (long)TensorElementType.Float16 },
            });
        }
        var rows = vector;
        var sizes = slots.Select(slot => slot.Count).ToArray();
        if (slots.All(slot => slot.Count == sizes[0]))
        {
            rows = Reshape(vector, [slots.Count, sizes[0]], vector + ".rows");
            Array.Fill(sizes, 1);
        }
        graph.Initializers[vector + ".sizes"] = Tensor.Int64(sizes);
        nodes.Add(new()
        {
            OpType = "Split", Name = vector, Inputs = [rows, vector + ".sizes"], Outputs = [.. slots.Select(slot => slot.Name + ".flat")],
        });
        foreach (var slot in slots)
            Reshape(slot.Name + ".flat", slot.Dims, inHalf ? MixedPrecision.InHalf(slot.Name) : slot.Name);
        foreach (var slot in slots)
            graph.Initializers.Remove(slot.Name);
        graph.Nodes.InsertRange(0, nodes);

        string Reshape(string input, long[] dims, string output)
        {
            graph.Initializers[output + ".dims"] = Tensor.Int64(dims);
            nodes.Add(new() { OpType = "Reshape", Name = output, Inputs = [input, output + ".dims"], Outputs = [output] });
            return output;
        }
    }
}

/// <summary>A vector that training carries from step to step.</summary>
/// <param name="Name">The name of the graph's input; the output has <see cref="TrainingGraph.NextSuffix"/> appended.</param>
/// <param name="Initial">Its elements before the first step.</param>
internal sealed record StateVector(string Name, float[] Initial)
{
    /// <summary>The name of the graph's output.</summary>
    public string Next => Name + TrainingGraph.NextSuffix;
}
